-- schedule_set: makes or replaces a schedule; last_run_at and a pause stay.
-- @name, @expression, @zone, @kind, @payload, @queue, @priority, @max_attempts, @timeout_ms, @backoff_ms; @next_run_at. @actor, NULL: the database's role.
-- An unchanged expression and zone keep the pending tick. Rows: 1. Locks: the schedule. Leaves an audit row.
with stored as (
  insert into scheduler.schedules as s
    (name, expression, zone, kind, payload, queue, priority, max_attempts, timeout_ms, backoff_ms, next_run_at)
  values (@name, @expression, @zone, @kind, @payload::jsonb, @queue, @priority, @max_attempts, @timeout_ms, @backoff_ms, @next_run_at)
  on conflict (name) do update set
    next_run_at = case when s.expression = excluded.expression and s.zone = excluded.zone and s.error is null
      then coalesce(s.next_run_at, excluded.next_run_at) else excluded.next_run_at end,
    expression = excluded.expression, zone = excluded.zone, kind = excluded.kind, payload = excluded.payload, queue = excluded.queue,
    priority = excluded.priority, max_attempts = excluded.max_attempts, timeout_ms = excluded.timeout_ms, backoff_ms = excluded.backoff_ms,
    error = null, updated_at = now()
  returning s.name, s.expression, s.zone, s.kind, s.payload, s.queue, s.priority, s.max_attempts, s.timeout_ms, s.backoff_ms, s.paused_at,
    s.next_run_at, s.last_run_at, s.error, s.created_at, s.updated_at
), audit as (
  insert into scheduler.audit (actor, verb, target, detail)
  select coalesce(@actor::text, session_user), 'set_schedule', d.name, jsonb_build_object('expression', d.expression, 'zone', d.zone, 'kind', d.kind, 'queue', d.queue)
  from stored d
)
select d.* from stored d
