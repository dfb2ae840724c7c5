-- endpoint_set: makes or replaces an endpoint; a pause stays, and so does the breaker unless url or secrets changed.
-- @name, @url, @secrets (NULL: those it has, if it is new @fresh_secret), @queues, @kinds, @concurrency, @rate, @timeout_ms,
-- @complete_within_ms, @breaker_failures, @breaker_pause_ms. @actor, NULL: the database's role. Rows: 1. Locks: the endpoint. Tells the workers.
-- Leaves an audit row.
with stored as (
  insert into scheduler.endpoints as e
    (name, url, secrets, queues, kinds, concurrency, rate, timeout_ms, complete_within_ms, breaker_failures, breaker_pause_ms)
  values (@name, @url, coalesce(@secrets::text[], array[@fresh_secret::text]), @queues::text[], @kinds::text[], @concurrency, @rate::double precision, @timeout_ms,
    @complete_within_ms, @breaker_failures, @breaker_pause_ms)
  on conflict (name) do update set
    url = excluded.url, secrets = coalesce(@secrets::text[], e.secrets), queues = excluded.queues, kinds = excluded.kinds,
    concurrency = excluded.concurrency, rate = excluded.rate, timeout_ms = excluded.timeout_ms, complete_within_ms = excluded.complete_within_ms,
    breaker_failures = excluded.breaker_failures, breaker_pause_ms = excluded.breaker_pause_ms, updated_at = now(),
    (state, failures, opened_at, probe_at, probe_worker, generation) = (
      select case when c.changed then 'closed' else e.state end, case when c.changed then 0 else e.failures end,
        case when not c.changed then e.opened_at end, case when not c.changed then e.probe_at end,
        case when not c.changed then e.probe_worker end, e.generation + case when c.changed then 1 else 0 end
      from (select e.url <> excluded.url or e.secrets <> coalesce(@secrets::text[], e.secrets) as changed) c)
  returning e.*
), audit as (
  insert into scheduler.audit (actor, verb, target, detail)
  select coalesce(@actor::text, session_user), 'set_endpoint', d.name, jsonb_build_object('url', d.url, 'queues', d.queues, 'kinds', d.kinds,
    'concurrency', d.concurrency, 'rate', d.rate, 'new_secrets', @secrets::text[] is not null or d.created_at = d.updated_at)
  from stored d
)
select e.name, e.url, e.queues, e.kinds, e.concurrency, e.rate, e.timeout_ms, e.complete_within_ms, e.breaker_failures, e.breaker_pause_ms,
  e.paused_at, e.state, e.failures, e.opened_at, e.probe_at, e.last_success_at, e.last_error, e.last_error_at, e.created_at, e.updated_at,
  scheduler.in_flight(e.name)::integer as in_flight, s.processes
from stored e,
  lateral (select count(*)::integer as processes
    from scheduler.endpoint_slots s join scheduler.workers w on w.id = s.worker_id where s.endpoint = e.name) s,
  lateral (select pg_notify('scheduler_control', '*')) n
