-- unfinished: how many of the newest 25,000 tasks are of the queue and not completed; by the primary key, so that asking costs
-- little. $1 queue. Rows: 1. Locks: none.
select count(*) from (select t.queue, t.state from scheduler.tasks t order by t.id desc limit 25000) newest
where newest.queue = $1::text and newest.state <> 'completed'
