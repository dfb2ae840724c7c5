-- snooze: ends an attempt that asked to run later; burns no failure.
-- @worker, @queue, @id, @attempt; @delay_ms; @reason for people, may be NULL.
-- Rows: 1: state now (cancelled if that was asked for). 0: the lease is lost. Locks: the task, then its attempt row.
with ended as (
  update scheduler.tasks t
  set state = case when t.cancel_requested_at is not null then 'cancelled'::scheduler.task_state
                   when @delay_ms::bigint <= 0 then 'ready' else 'scheduled' end,
      run_at = case when t.cancel_requested_at is null then now() + @delay_ms * interval '1 ms' else t.run_at end,
      worker_id = case when t.cancel_requested_at is not null then t.worker_id end,
      finished_at = case when t.cancel_requested_at is not null then now() end,
      error_code = case when t.cancel_requested_at is not null then 'cancelled' end,
      error = case when t.cancel_requested_at is not null then t.error end,
      revision = t.revision + 1
  where t.id = @id and t.queue = @queue and t.worker_id = @worker and t.attempt = @attempt and t.state = 'running'
  returning t.id, t.state, t.attempt, t.kind, t.started_at
), history as (
  insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error)
  select e.id, e.attempt, @queue, e.kind, case when e.state = 'cancelled' then 'cancelled' else 'snoozed' end, @worker,
    (select w.name from scheduler.workers w where w.id = @worker), e.started_at, @reason::text
  from ended e
)
select e.state from ended e
