-- oldest_ready: the ready task of a queue that is leased next, to tell why it is not. @queue. Rows: 1, or 0: none is ready. Locks: none.
select t.id from scheduler.tasks t where t.ready and t.queue = @queue order by t.priority, t.run_at, t.id limit 1
