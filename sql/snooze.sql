-- snooze: ends attempts of one worker and queue that asked to run later; burns no failure.
-- $1 worker, $2 queue; arrays, sorted by id, then attempt: $3 ids, $4 attempts, $5 delays in ms, $6 reasons for people, may be NULL.
-- Rows: the places in the arrays, from 1, of those that are ended now, the state now (cancelled if that was asked for), and delay_ms
-- until the next attempt; one that is missing lost its lease.
-- Locks: the tasks, by id, then attempt rows. Hot: positional. No join, which could be planned as a walk of all tasks: see complete.sql.
with ended as (
  update scheduler.tasks t
  set state = case when t.cancel_requested_at is not null then 'cancelled'::scheduler.task_state
                   when ($5::bigint[])[width_bucket(t.id, $3::uuid[])] <= 0 then 'ready' else 'scheduled' end,
      run_at = case when t.cancel_requested_at is null then now() + ($5::bigint[])[width_bucket(t.id, $3::uuid[])] * interval '1 ms' else t.run_at end,
      worker_id = case when t.cancel_requested_at is not null then t.worker_id end,
      finished_at = case when t.cancel_requested_at is not null then now() end,
      error_code = case when t.cancel_requested_at is not null then 'cancelled' end,
      error = case when t.cancel_requested_at is not null then t.error end,
      revision = t.revision + 1
  where t.id = any ($3::uuid[]) and t.queue = $2::text and t.worker_id = $1::uuid and t.state = 'running'
    and t.attempt = ($4::integer[])[width_bucket(t.id, $3::uuid[])]
  returning width_bucket(t.id, $3::uuid[]) as place, t.id, t.attempt, t.kind, t.state, t.started_at
), history as (
  insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error)
  select e.id, e.attempt, $2, e.kind, case when e.state = 'cancelled' then 'cancelled' else 'snoozed' end, $1,
    (select w.name from scheduler.workers w where w.id = $1), e.started_at, ($6::text[])[e.place]
  from ended e
)
select e.place, e.state, case when e.state = 'scheduled' then ($5::bigint[])[e.place] else 0 end as delay_ms from ended e
