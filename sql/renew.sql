-- renew: renews remote workers and brings back what they are asked to do; others, which renew themselves, are only looked at. $1 ids, sorted; $2 tasks running, $3 memory in bytes, NULL: as it was.
-- Rows: one a worker that is alive: its command, whether it is remote, when it is dead unless it is renewed, the running tasks to cancel (id, attempt), and
-- aged: it has lease rows for sweep.sql. Locks: the workers, by id. It does not look at tasks: whoever has that table locked must
-- not make workers seem dead.
with beat as (
  update scheduler.workers w
  set seen_at = case when w.remote then now() else w.seen_at end, running = coalesce(($2::integer[])[case when w.remote then width_bucket(w.id, $1::uuid[]) end], w.running),
      memory_bytes = coalesce(($3::bigint[])[case when w.remote then width_bucket(w.id, $1::uuid[]) end], w.memory_bytes)
  where w.id = any ($1::uuid[])
  returning w.id, w.command, w.remote, w.ttl_ms, w.seen_at + w.ttl_ms * interval '1 ms' as expires_at
)
select b.*, coalesce(r.cancelled, '{}') as cancelled, coalesce(r.attempts, '{}') as attempts,
  exists (select from scheduler.leases l where l.worker_id = b.id and l.leased_at <= now() - interval '10 s') as aged
from beat b,
  lateral (select array_agg(c.task_id) as cancelled, array_agg(c.attempt) as attempts from scheduler.cancellations c where c.worker_id = b.id) r
