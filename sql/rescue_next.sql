-- rescue_next: when the first worker is dead unless it sends a heartbeat before.
-- Rows: 1: milliseconds from now; negative: it is, and somebody else may have its row locked; NULL: no worker. Locks: none.
select (extract(epoch from min(w.seen_at + w.ttl_ms * interval '1 ms') - now()) * 1000)::bigint + 1 as next_ms from scheduler.workers w
