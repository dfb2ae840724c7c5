-- workers: all that are entered, live or not yet found dead. Rows: oldest first. Locks: none.
select w.id, w.name, w.host, w.pid, w.version, w.language, w.memory_bytes, w.queues, w.kinds, w.slots, scheduler.running(w.id) as running, w.command, w.ttl_ms, w.started_at, w.seen_at,
  w.seen_at + w.ttl_ms * interval '1 ms' >= now() as live
from scheduler.workers w
order by w.started_at, w.id
