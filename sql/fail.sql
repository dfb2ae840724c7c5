-- fail: ends an attempt that erred, panicked, timed out or was cancelled: retry later, give up, or cancelled if that was asked for.
-- @worker, @queue, @id, @attempt; @error_code, @error, @stack; @permanent: never retry; @retry_after_ms: instead of the backoff, or NULL.
-- Rows: 1: state now, and delay_ms until the next attempt. 0: the lease is lost. Locks: the task, then its attempt row.
with ended as (
  update scheduler.tasks t
  set state = n.state,
      failures = least(t.failures + 1, 32767),
      run_at = case when n.state = 'scheduled' then now() + n.delay_ms * interval '1 ms' else t.run_at end,
      finished_at = case when n.state in ('failed', 'cancelled') then now() end,
      worker_id = case when n.state in ('failed', 'cancelled') then t.worker_id end,
      error_code = case when n.state = 'cancelled' then 'cancelled' else @error_code::text end,
      error = case when n.state = 'cancelled' then t.error else @error::text end,
      revision = t.revision + 1
  from (
    select f.id, f.attempt, f.worker_id, f.started_at, f.kind, b.delay_ms,
      case when f.cancel_requested_at is not null then 'cancelled'::scheduler.task_state
           when @permanent::boolean or f.failures + 1 >= f.max_attempts then 'failed'
           when b.delay_ms <= 0 then 'ready' else 'scheduled' end as state
    from scheduler.tasks f,
      lateral (select coalesce(@retry_after_ms::bigint, scheduler.backoff(f.failures + 1, f.backoff_ms)) as delay_ms) b
    where f.id = @id and f.queue = @queue and f.worker_id = @worker and f.attempt = @attempt and f.state = 'running'
    for no key update of f
  ) n
  where t.id = n.id and t.queue = @queue and t.worker_id = @worker and t.attempt = @attempt and t.state = 'running'
  returning t.id, t.state, t.attempt, t.kind, n.started_at, n.delay_ms
), history as (
  insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error_code, error, stack)
  select e.id, e.attempt, @queue, e.kind, case when e.state = 'cancelled' then 'cancelled' else 'failed' end, @worker,
    (select w.name from scheduler.workers w where w.id = @worker), e.started_at, @error_code, @error, @stack::text
  from ended e
)
select e.state, case when e.state = 'scheduled' then e.delay_ms else 0 end as delay_ms from ended e
