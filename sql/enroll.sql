-- enroll: enters a remote worker, or renews it: also one that was declared dead, whose leases are lost by then.
-- @id; @name, @host, @pid, @version, @language; @queues, @kinds, @slots; @ttl_ms of silence until it is dead;
-- @running: tasks, NULL: as it was.
-- Rows: 1: as of renew.sql. 0: a worker that is not remote has the id. Locks: the worker.
with worker as (
  insert into scheduler.workers as w (id, name, host, pid, version, language, queues, kinds, slots, ttl_ms, running, remote)
  values (@id, @name, @host, @pid, @version, @language, @queues, @kinds, @slots, @ttl_ms, coalesce(@running::integer, 0), true)
  on conflict (id) do update set seen_at = now(), name = excluded.name, host = excluded.host, pid = excluded.pid, version = excluded.version,
    language = excluded.language, queues = excluded.queues, kinds = excluded.kinds, slots = excluded.slots, ttl_ms = excluded.ttl_ms,
    running = coalesce(@running::integer, w.running)
  where w.remote
  returning w.id, w.command, w.remote, w.ttl_ms, w.seen_at + w.ttl_ms * interval '1 ms' as expires_at
)
select b.*, '{}'::uuid[] as cancelled, '{}'::integer[] as attempts,
  exists (select from scheduler.leases l where l.worker_id = b.id and l.leased_at <= now() - interval '10 s') as aged
from worker b
