-- release: hands running tasks of one worker and queue back, unfinished, without burning a failure.
-- $1 worker, $2 queue; arrays, sorted by id, then attempt: $3 ids, $4 attempts, $5 reasons for people.
-- Rows: the places in the arrays, from 1, of those handed back, the state now (ready, or cancelled if that was asked for), and 0 ms until
-- the next attempt; one that is missing lost its lease.
-- Locks: the tasks, by id, then attempt rows. Wakes the queue's workers. Hot: positional. No join: see complete.sql.
with ended as (
  update scheduler.tasks t
  set state = case when t.cancel_requested_at is not null then 'cancelled'::scheduler.task_state else 'ready' end,
      worker_id = case when t.cancel_requested_at is not null then t.worker_id end,
      finished_at = case when t.cancel_requested_at is not null then now() end,
      revision = t.revision + 1
  where t.id = any ($3::uuid[]) and t.queue = $2::text and t.worker_id = $1::uuid and t.state = 'running'
    and t.attempt = ($4::integer[])[width_bucket(t.id, $3::uuid[])]
  returning width_bucket(t.id, $3::uuid[]) as place, t.id, t.state, t.attempt, t.kind, t.started_at
), history as (
  insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error)
  select e.id, e.attempt, $2, e.kind, case when e.state = 'cancelled' then 'cancelled' else 'released' end, $1,
    (select w.name from scheduler.workers w where w.id = $1), e.started_at, ($5::text[])[e.place]
  from ended e
), hint as (
  select pg_notify('scheduler_ready', $2) from (select from ended where state = 'ready' limit 1) r
)
select e.place, e.state, 0::bigint as delay_ms from ended e left join hint on true
