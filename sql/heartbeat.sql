-- heartbeat: renews all that a worker holds, drops what has ended, and brings back what it is asked to do.
-- $1 worker, $2 tasks running; $3 ids of lease rows whose tasks have all ended; $4 tasks whose
-- cancellation was dealt with; $5 ids of lease rows with tasks that have not ended.
-- Rows: 1. 0: the worker was declared dead and its tasks given back. Locks: the worker, then lease and cancellation rows of its own.
with beat as (
  update scheduler.workers set seen_at = now(), running = $2::integer where id = $1::uuid
  returning id, command, queues
), ended as (
  delete from scheduler.leases l using beat b where l.worker_id = b.id and l.id = any ($3::bigint[])
), dealt as (
  delete from scheduler.cancellations c using beat b where c.worker_id = b.id and c.task_id = any ($4::uuid[])
)
select b.command,
  array(select c.task_id from scheduler.cancellations c where c.worker_id = b.id) as cancelled,
  exists (select from scheduler.leases l where l.worker_id = b.id and l.leased_at < now() - interval '20 s'
    and l.id <> all ($3::bigint[]) and l.id <> all ($5::bigint[])) as strays,
  array(select q.name from scheduler.queues q where q.paused_at is not null and q.name = any (b.queues)) as paused
from beat b
