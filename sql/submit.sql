-- submit: inserts tasks of one queue; a row whose key is taken is left out.
-- $1 queue; then arrays with one element a task: $2 ids, $3 kinds, $4 payloads (JSON text), $5 priorities, $6 run_at, $7 delay_ms,
-- $8 max_attempts, $9 timeout_ms, $10 expires_at, $11 unique keys, $12 idempotency keys, $13 backoff_ms,
-- $14 tags (array literals), $15 traces. NULL: default.
-- Rows: one for each task inserted; those missing met a key (see submit_conflict.sql). Locks: none but the keys'. Hot: positional.
insert into scheduler.tasks (id, queue, kind, payload, priority, run_at, state, max_attempts, timeout_ms, expires_at,
  unique_key, idempotency_key, backoff_ms, tags, trace, fingerprint)
select r.id, $1::text, r.kind, r.payload, r.priority,
  coalesce(r.run_at, now() + coalesce(r.delay_ms, 0) * interval '1 ms'),
  case when coalesce(r.run_at <= now(), coalesce(r.delay_ms, 0) <= 0) then 'ready'::scheduler.task_state else 'scheduled' end,
  r.max_attempts, r.timeout_ms, r.expires_at, r.unique_key, r.idempotency_key, r.backoff_ms::bigint[], r.tags::text[], r.trace,
  case when r.idempotency_key is not null then scheduler.fingerprint(r.kind, r.payload, r.priority, r.run_at, r.delay_ms,
    r.max_attempts, r.timeout_ms, r.expires_at, r.unique_key, r.backoff_ms::bigint[], r.tags::text[]) end
from unnest($2::uuid[], $3::text[], $4::jsonb[], $5::smallint[], $6::timestamptz[], $7::bigint[], $8::smallint[], $9::bigint[],
  $10::timestamptz[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
  as r(id, kind, payload, priority, run_at, delay_ms, max_attempts, timeout_ms, expires_at, unique_key, idempotency_key, backoff_ms, tags, trace)
on conflict do nothing
returning id, state, run_at, created_at
