-- tasks_floor_dead: how far down a list of a queue's failed tasks may look. @queue. @before: only ids below it. @scan: how many it may look at.
-- Rows: 1: the id that is the last one to look at. 0: there are fewer, look to the end. Locks: none.
select t.id from scheduler.tasks t where t.dead and t.queue = @queue and t.id < @before order by t.id desc offset @scan - 1 limit 1
