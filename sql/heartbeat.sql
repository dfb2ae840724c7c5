-- heartbeat: renews all that a worker holds, drops what has ended, and brings back what it is asked to do.
-- $1 worker, $2 tasks running, $5 memory in bytes (NULL: unknown); ids of lease rows: $3 those whose tasks have all ended, $4 those with tasks that have not.
-- Rows: 1. 0: the worker was declared dead and its tasks given back. Locks: the worker, then lease rows of its own. It does not look
-- at tasks: whoever has that table locked must not make workers seem dead.
with beat as (
  update scheduler.workers set seen_at = now(), running = $2::integer, memory_bytes = coalesce($5::bigint, memory_bytes) where id = $1::uuid
  returning id, command, queues
), ended as (
  delete from scheduler.leases l using beat b where l.worker_id = b.id and l.id = any ($3::bigint[])
)
select b.command,
  array(select c.task_id from scheduler.cancellations c where c.worker_id = b.id) as cancelled,
  exists (select from scheduler.leases l where l.worker_id = b.id and l.endpoint is null and l.leased_at < now() - interval '20 s'
    and l.id <> all (coalesce($3::bigint[], '{}')) and l.id <> all (coalesce($4::bigint[], '{}'))) as strays,
  array(select q.name from scheduler.queues q where q.paused_at is not null and q.name = any (b.queues)) as paused
from beat b
