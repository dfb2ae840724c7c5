-- endpoints: @name, NULL: all. Rows: by name, without the secrets; in_flight: deliveries, and tasks accepted by 202; processes that
-- deliver. Locks: none.
select e.name, e.url, e.queues, e.kinds, e.concurrency, e.rate, e.timeout_ms, e.complete_within_ms, e.breaker_failures, e.breaker_pause_ms,
  e.paused_at, e.state, e.failures, e.opened_at, e.probe_at, e.last_success_at, e.last_error, e.last_error_at, e.created_at, e.updated_at,
  scheduler.in_flight(e.name)::integer as in_flight, s.processes
from scheduler.endpoints e,
  lateral (select count(*)::integer as processes
    from scheduler.endpoint_slots s join scheduler.workers w on w.id = s.worker_id where s.endpoint = e.name) s
where @name::text is null or e.name = @name
order by e.name
