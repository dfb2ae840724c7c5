-- deregister: takes out a worker that ends. Lease rows with tasks that it still runs stay behind, by which others rescue those,
-- and what endpoints accepted.
-- @worker. Rows: none. Locks: the worker, then rows of its own.
with gone as (
  delete from scheduler.workers where id = @worker
), leases as (
  delete from scheduler.leases l where l.worker_id = @worker and not exists (
    select from unnest(l.task_ids) h(id),
      lateral (select from scheduler.tasks t where t.id = h.id and t.queue = l.queue and t.worker_id = @worker and t.state = 'running' offset 0) r)
)
delete from scheduler.cancellations c where c.worker_id = @worker
  and not exists (select from scheduler.leases l where l.worker_id = @worker and l.endpoint is not null and c.task_id = any (l.task_ids))
