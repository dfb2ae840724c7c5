-- accept: an endpoint answered 202: the attempt goes on without its worker. Its lease moves to a row of its own, which no worker's death
-- touches; time_out ends the attempt @within_ms from now, or when the task's own timeout is over.
-- @worker, @queue, @id, @attempt; @endpoint. Rows: 1: it did, now or before. 0: the lease is lost. Locks: lease rows of the worker.
with run as materialized (
  select t.id, t.queue, t.worker_id, t.started_at, t.timeout_ms, t.cancel_requested_at from scheduler.tasks t
  where t.id = @id and t.queue = @queue and t.worker_id = @worker and t.attempt = @attempt::integer and t.state = 'running'
), passed as (
  update scheduler.leases l set task_ids = array_remove(l.task_ids, r.id) from run r
  where l.worker_id = r.worker_id and l.endpoint is null and r.id = any (l.task_ids)
  returning l.leased_at
), accepted as (
  insert into scheduler.leases (worker_id, queue, task_ids, leased_at, endpoint, accepted_at, complete_within_ms, timeout_at)
  select r.worker_id, r.queue, array[r.id], r.started_at, @endpoint, now(), @within_ms::bigint,
    least(now() + @within_ms::bigint * interval '1 ms', r.started_at + r.timeout_ms * interval '1 ms')
  from run r where r.started_at in (select p.leased_at from passed p)
  returning id
)
select a.id from accepted a
union all
select l.id from run r, scheduler.leases l
where l.worker_id = r.worker_id and l.endpoint is not null and r.id = any (l.task_ids) and l.leased_at = r.started_at
