-- submit_conflict: finds the task that holds the key of a task that was not inserted.
-- @queue, @idempotency_key, @unique_key (either may be NULL); what was submitted, for the fingerprint: @kind, @payload (JSON text),
-- @priority, @run_at, @delay_ms, @max_attempts, @timeout_ms, @expires_at, @backoff_ms, @tags (array literals).
-- Rows: 0: the holder is gone by now, insert again. 1: the holder; by_key: found by the idempotency key; same: the same request.
-- Locks: none.
select t.id, t.state, t.run_at, t.created_at, h.by_key,
  t.fingerprint is not distinct from scheduler.fingerprint(@kind::text, @payload::jsonb, @priority::integer, @run_at::timestamptz,
    @delay_ms::bigint, @max_attempts::integer, @timeout_ms::bigint, @expires_at::timestamptz, @unique_key::text,
    (@backoff_ms::text)::bigint[], (@tags::text)::text[]) as same
from (
  select k.id, true as by_key from scheduler.tasks k where k.queue = @queue and k.idempotency_key = @idempotency_key::text
  union all
  select k.id, false from scheduler.tasks k where k.queue = @queue and k.active_key = @unique_key::text
) h
join scheduler.tasks t on t.id = h.id
order by h.by_key desc
limit 1
