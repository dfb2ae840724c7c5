-- heartbeat: renews all that a worker holds, drops what has ended, and brings back what it is asked to do.
-- $1 worker, $2 tasks running; ids of lease rows: $3 those whose tasks have all ended, $4 those with tasks that have not.
-- Rows: 1. 0: the worker was declared dead and its tasks given back. Locks: the worker, then lease and cancellation rows of its own.
with beat as (
  update scheduler.workers set seen_at = now(), running = $2::integer where id = $1::uuid
  returning id, command, queues
), ended as (
  delete from scheduler.leases l using beat b where l.worker_id = b.id and l.id = any ($3::bigint[])
), requests as ( -- a request is for one attempt: the task may have been retried, and be running here again
  select c.task_id, c.attempt, exists (select from scheduler.tasks t where t.id = c.task_id and t.queue = c.queue
    and t.worker_id = c.worker_id and t.attempt = c.attempt and t.state = 'running') as open
  from beat b join scheduler.cancellations c on c.worker_id = b.id
), dealt as (
  delete from scheduler.cancellations c using requests r
  where c.task_id = r.task_id and c.worker_id = $1::uuid and c.attempt = r.attempt and not r.open
)
select b.command,
  array(select r.task_id from requests r where r.open) as cancelled,
  exists (select from scheduler.leases l where l.worker_id = b.id and l.leased_at < now() - interval '20 s'
    and l.id <> all (coalesce($3::bigint[], '{}')) and l.id <> all (coalesce($4::bigint[], '{}'))) as strays,
  array(select q.name from scheduler.queues q where q.paused_at is not null and q.name = any (b.queues)) as paused
from beat b
