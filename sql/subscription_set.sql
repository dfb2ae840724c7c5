-- subscription_set: makes or replaces a subscription.
-- @name, @pattern, @kind, @queue, @priority, @max_attempts, @timeout_ms, @backoff_ms. @actor, NULL: the database's role.
-- Rows: 1. Locks: the subscription. Leaves an audit row.
with stored as (
  insert into scheduler.subscriptions as s (name, pattern, kind, queue, priority, max_attempts, timeout_ms, backoff_ms)
  values (@name, @pattern, @kind, @queue, @priority, @max_attempts, @timeout_ms, @backoff_ms)
  on conflict (name) do update set
    pattern = excluded.pattern, kind = excluded.kind, queue = excluded.queue, priority = excluded.priority,
    max_attempts = excluded.max_attempts, timeout_ms = excluded.timeout_ms, backoff_ms = excluded.backoff_ms, updated_at = now()
  returning s.name, s.pattern, s.kind, s.queue, s.priority, s.max_attempts, s.timeout_ms, s.backoff_ms, s.created_at, s.updated_at
), audit as (
  insert into scheduler.audit (actor, verb, target, detail)
  select coalesce(@actor::text, session_user), 'set_subscription', d.name, jsonb_build_object('pattern', d.pattern, 'kind', d.kind, 'queue', d.queue)
  from stored d
)
select d.* from stored d
