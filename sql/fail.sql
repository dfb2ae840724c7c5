-- fail: ends attempts of one worker and queue that erred, panicked, timed out or were cancelled: retry later, give up, or cancelled if that was asked for.
-- $1 worker, $2 queue; arrays, sorted by id, then attempt: $3 ids, $4 attempts, $5 error codes, $6 errors, $7 stacks, $8 permanent: never retry,
-- $9 retry after so many ms instead of the backoff, -1: the backoff.
-- Rows: the places in the arrays, from 1, of those that are ended now, the state now, and delay_ms until the next attempt; one that is missing lost its lease.
-- Locks: the tasks, by id, then attempt rows. Hot: positional. No join, which could be planned as a walk of all tasks: see complete.sql.
with ended as (
  update scheduler.tasks t
  set (state, run_at, finished_at, worker_id, error_code, error) = (
        select n.state, case when n.state = 'scheduled' then now() + b.delay_ms * interval '1 ms' else t.run_at end,
          case when n.state in ('failed', 'cancelled') then now() end,
          case when n.state in ('failed', 'cancelled') then t.worker_id end,
          case when n.state = 'cancelled' then 'cancelled' else ($5::text[])[p.place] end,
          case when n.state = 'cancelled' then t.error else ($6::text[])[p.place] end
        from (select width_bucket(t.id, $3::uuid[]) as place) p,
          lateral (select case when ($9::bigint[])[p.place] >= 0 then ($9::bigint[])[p.place]
            else scheduler.backoff(t.failures + 1, t.backoff_ms) end as delay_ms) b,
          lateral (select case when t.cancel_requested_at is not null then 'cancelled'::scheduler.task_state
            when ($8::boolean[])[p.place] or t.failures + 1 >= t.max_attempts then 'failed'
            when b.delay_ms <= 0 then 'ready' else 'scheduled' end as state) n),
      failures = least(t.failures + 1, 32767), revision = t.revision + 1
  where t.id = any ($3::uuid[]) and t.queue = $2::text and t.worker_id = $1::uuid and t.state = 'running'
    and t.attempt = ($4::integer[])[width_bucket(t.id, $3::uuid[])]
  returning width_bucket(t.id, $3::uuid[]) as place, t.id, t.attempt, t.kind, t.state, t.started_at, t.error_code, t.error,
    case when t.state = 'scheduled' then round(extract(epoch from t.run_at - now()) * 1000)::bigint else 0 end as delay_ms
), history as (
  insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error_code, error, stack)
  select e.id, e.attempt, $2, e.kind, case when e.state = 'cancelled' then 'cancelled' else 'failed' end, $1,
    (select w.name from scheduler.workers w where w.id = $1), e.started_at,
    case when e.state = 'cancelled' then ($5::text[])[e.place] else e.error_code end,
    case when e.state = 'cancelled' then ($6::text[])[e.place] else e.error end, ($7::text[])[e.place]
  from ended e
)
select e.place, e.state, e.delay_ms from ended e
