-- deregister: takes out a worker that has ended all its tasks or handed them back.
-- @worker. Rows: none. Locks: the worker, then rows of its own.
with gone as (delete from scheduler.workers where id = @worker),
  leases as (delete from scheduler.leases where worker_id = @worker)
delete from scheduler.cancellations where worker_id = @worker
