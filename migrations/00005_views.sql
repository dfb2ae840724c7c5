-- +goose Up
-- What people read: the tasks with figures worked out, and why a task does not run.

create view scheduler.task_overview as
select t.id, t.queue, t.kind, t.state, t.priority, t.attempt, t.failures, t.max_attempts,
  case when t.progress_total > 0 then round(least(100, greatest(0, 100.0 * t.progress_current / t.progress_total)), 1) end as percent,
  t.progress_current, t.progress_total, t.progress_message,
  case when t.started_at is not null then t.started_at - t.created_at
       when t.state in ('blocked', 'scheduled', 'ready') then now() - t.created_at end as wait,
  case when t.state = 'running' then now() - t.started_at
       when t.state = 'completed' then t.finished_at - t.started_at end as run,
  now() - t.created_at as age,
  w.name as worker, t.error_code, t.error, t.run_at, t.created_at, t.started_at, t.finished_at
from scheduler.tasks t
left join scheduler.workers w on w.id = t.worker_id;
comment on view scheduler.task_overview is 'Tasks for people: percent done, wait (submit to the last start, or until now), run time of the last attempt, age.';

-- +goose StatementBegin
-- Why a task does not run (or that it does): the reasons in order, the one to mend first on top.
create function scheduler.explain(id uuid) returns table (rank integer, code text, reason text, fix text)
language sql stable as $$
  with t as (
    select t.*, w.name as worker, w.seen_at, w.ttl_ms from scheduler.tasks t
    left join scheduler.workers w on w.id = t.worker_id
    where t.id = explain.id
  ), live as (
    select w.* from scheduler.workers w where w.seen_at + w.ttl_ms * interval '1 ms' >= now()
  ), crew as (
    select count(*) filter (where takes_queue) as queue_workers,
      count(*) filter (where takes_queue and takes_kind) as fit,
      count(*) filter (where takes_queue and takes_kind and command = 'run') as willing,
      coalesce(sum(slots - running) filter (where takes_queue and takes_kind and command = 'run'), 0) as free,
      coalesce(sum(slots) filter (where takes_queue and takes_kind and command = 'run'), 0) as slots
    from (select l.*, t.queue = any (l.queues) as takes_queue, t.kind = any (l.kinds) as takes_kind from live l, t) c
  ), reasons as (
    select 10 as rank, t.state::text as code, case t.state
        when 'completed' then format('It completed %s ago.', date_trunc('second', now() - t.finished_at))
        when 'failed' then format('It gave up after %s: %s: %s', case when t.error_code = 'worker_lost'
          then t.crashes || ' lost workers' else t.failures || ' failed attempts' end, t.error_code, t.error)
        else format('It was cancelled: %s', t.error) end as reason,
      case when t.state in ('failed', 'cancelled') then 'scheduler tasks retry ' || t.id end as fix
    from t where t.state in ('completed', 'failed', 'cancelled')
    union all
    select 20, 'cancel_requested', format('Cancelling was asked for %s ago; its worker is stopping it.',
      date_trunc('second', now() - t.cancel_requested_at)), null
    from t where t.state = 'running' and t.cancel_requested_at is not null
    union all
    select 21, 'worker_stale', format('Worker %s was last heard of %s ago; the task is given back within %s ms of silence.',
      coalesce(t.worker, t.worker_id::text), coalesce(date_trunc('second', now() - t.seen_at)::text, 'an unknown time'),
      coalesce(t.ttl_ms, 0)), null
    from t where t.state = 'running' and (t.seen_at is null or t.seen_at + t.ttl_ms * interval '1 ms' < now())
    union all
    select 22, 'running', format('It runs on %s since %s (attempt %s).', t.worker,
      date_trunc('second', now() - t.started_at), t.attempt), null
    from t where t.state = 'running' and t.seen_at + t.ttl_ms * interval '1 ms' >= now()
    union all
    select 30, 'expired', format('Its expires_at passed %s ago; it is about to be cancelled.', date_trunc('second', now() - t.expires_at)), null
    from t where t.state in ('scheduled', 'ready') and t.expires_at <= now()
    union all
    select 40, 'blocked', 'It waits for other tasks.', null from t where t.state = 'blocked'
    union all
    select 41, 'retry_backoff', format('Attempt %s failed (%s: %s); failure %s of %s. The next attempt is due in %s.',
      t.attempt, t.error_code, t.error, t.failures, t.max_attempts, date_trunc('milliseconds', t.run_at - now())), null
    from t where t.state = 'scheduled' and t.run_at > now() and t.error_code is not null
    union all
    select 42, 'not_due', format('It is due in %s, at %s.', date_trunc('milliseconds', t.run_at - now()), t.run_at), null
    from t where t.state = 'scheduled' and t.run_at > now() and t.error_code is null
    union all
    select 43, 'promotion_pending', 'It is due and not promoted yet; any worker or server does that within seconds.',
      'start a worker or a server: scheduler worker, scheduler serve'
    from t where t.state = 'scheduled' and t.run_at <= now()
    union all
    select 50, 'queue_paused', format('Queue %s is paused since %s.', q.name, q.paused_at), 'scheduler queues resume ' || q.name
    from t join scheduler.queues q on q.name = t.queue
    where q.paused_at is not null and t.state in ('blocked', 'scheduled', 'ready')
    union all
    select 60, 'no_worker_for_queue', format('No live worker takes from queue %s.', t.queue),
      'scheduler worker --queue ' || t.queue
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.queue_workers = 0
    union all
    select 61, 'no_worker_for_kind', format('No live worker of queue %s can run kind %s; they can run: %s.', t.queue, t.kind,
      coalesce((select string_agg(distinct k, ', ') from live l, unnest(l.kinds) k where t.queue = any (l.queues)), 'nothing')),
      'start a worker that has a handler for ' || t.kind
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.queue_workers > 0 and crew.fit = 0
    union all
    select 62, 'workers_quiet', 'All workers that could run it were told to be quiet or to stop.', 'start another worker'
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.fit > 0 and crew.willing = 0
    union all
    select 63, 'workers_busy', format('All %s slots that could run it are busy.', crew.slots), 'start more workers or raise --concurrency'
    from t, crew where t.state = 'ready' and crew.willing > 0 and crew.free <= 0
    union all
    select 90, 'ready', 'It may start at any moment.', null
    from t, crew where t.state = 'ready' and crew.free > 0 and (t.expires_at is null or t.expires_at > now())
      and not exists (select from scheduler.queues q where q.name = t.queue and q.paused_at is not null)
  )
  select row_number() over (order by r.rank)::integer, r.code, r.reason, r.fix from reasons r order by r.rank
$$;
-- +goose StatementEnd
comment on function scheduler.explain is 'Why the task does not run, as ordered reasons: code (stable), reason and fix for people. No row: no such task.';

-- +goose Down
drop function scheduler.explain(uuid);
drop view scheduler.task_overview;
