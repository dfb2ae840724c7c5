-- unfinished_all: how many tasks of the queue are not completed. $1 queue. Rows: 1. Locks: none.
select count(*) from scheduler.tasks t where t.queue = $1::text and t.state <> 'completed'
