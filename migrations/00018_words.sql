-- +goose Up
-- What explain() says reads the same everywhere: lengths of time and times in words. And attempts are found by when they ended.

create index attempts_ended on scheduler.attempts (ended_at);
comment on index scheduler.attempts_ended is 'For the tail of events. Only attempts that did not complete their task have a row here.';

-- +goose StatementBegin
-- A length of time for people, in its one or two largest units: 9 s, 1 min 26 s, 14 min, 6 h 40 min, 3 d 4 h. A negative one is 0 s.
create function scheduler.spell(length interval) returns text language sql immutable parallel safe as $$
  select case
      when s < 60 then s || ' s'
      when s < 600 then s / 60 || ' min' || case when s % 60 > 0 then ' ' || s % 60 || ' s' else '' end
      when s < 3600 then s / 60 || ' min'
      when s < 86400 then s / 3600 || ' h' || case when s % 3600 / 60 > 0 then ' ' || s % 3600 / 60 || ' min' else '' end
      else s / 86400 || ' d' || case when s % 86400 / 3600 > 0 then ' ' || s % 86400 / 3600 || ' h' else '' end
    end
  from (select least(greatest(0, floor(extract(epoch from length))), 1e12)::bigint as s) l
$$;
-- +goose StatementEnd
comment on function scheduler.spell(interval) is 'A length of time for people, in its one or two largest units: 1 min 26 s.';

-- +goose StatementBegin
create function scheduler.spell(at timestamptz) returns text language sql stable parallel safe as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
$$;
-- +goose StatementEnd
comment on function scheduler.spell(timestamptz) is 'A time for people: 2026-11-21 09:30:00 UTC.';

-- +goose StatementBegin
-- Why a task does not run (or that it does): the reasons in order, the one to mend first on top. As before, in words that need no rewording, and with what endpoints accepted.
create or replace function scheduler.explain(id uuid) returns table (rank integer, code text, reason text, fix text)
language sql stable as $$
  with t as (
    select t.*, w.name as worker, w.seen_at, w.ttl_ms, a.endpoint, a.accepted_at, a.complete_within_ms from scheduler.tasks t
    left join scheduler.workers w on w.id = t.worker_id
    left join lateral (select l.* from scheduler.leases l where t.state = 'running' and l.worker_id = t.worker_id and l.endpoint is not null
      and t.id = any (l.task_ids) and l.leased_at = t.started_at) a on true
    where t.id = explain.id
  ), live as (
    select w.*, exists (
        select from scheduler.endpoint_slots s join scheduler.endpoints e on e.name = s.endpoint
        where s.worker_id = w.id and (e.paused_at is not null or e.state <> 'closed' or e.concurrency <= scheduler.in_flight(e.name))) as held_up
    from scheduler.workers w where w.seen_at + w.ttl_ms * interval '1 ms' >= now()
  ), crew as (
    select count(*) filter (where takes_queue) as queue_workers,
      count(*) filter (where takes_queue and takes_kind) as fit,
      count(*) filter (where takes_queue and takes_kind and command = 'run') as willing,
      count(*) filter (where takes_queue and takes_kind and command = 'run' and not held_up) as able,
      coalesce(sum(slots - scheduler.running(c.id)) filter (where takes_queue and takes_kind and command = 'run' and not held_up), 0) as free,
      coalesce(sum(slots) filter (where takes_queue and takes_kind and command = 'run' and not held_up), 0) as slots
    from (select l.*, t.queue = any (l.queues) as takes_queue, t.kind = any (l.kinds) as takes_kind from live l, t) c
  ), endpoint as (
    select e.*, (select count(*) from scheduler.endpoint_slots s join live l on l.id = s.worker_id where s.endpoint = e.name) as processes,
      scheduler.in_flight(e.name) as in_flight
    from scheduler.endpoints e, t
    where t.state in ('blocked', 'scheduled', 'ready') and t.queue = any (e.queues) and t.kind = any (e.kinds)
  ), reasons as (
    select 10 as rank, t.state::text as code, case t.state
        when 'completed' then format('It completed %s ago.', scheduler.spell(now() - t.finished_at))
        when 'failed' then format('It gave up after %s: %s: %s', case when t.error_code = 'worker_lost'
          then t.crashes || ' lost worker' || case when t.crashes = 1 then '' else 's' end
          else t.failures || ' failed attempt' || case when t.failures = 1 then '' else 's' end end, t.error_code, t.error)
        else format('It was cancelled: %s', t.error) end as reason,
      case when t.state in ('failed', 'cancelled') then 'scheduler tasks retry ' || t.id end as fix
    from t where t.state in ('completed', 'failed', 'cancelled')
    union all
    select 20, 'cancel_requested', format(case when t.endpoint is null then 'Cancelling was asked for %s ago; its worker is stopping it.'
        else 'Cancelling was asked for %s ago; its lease is about to end.' end, scheduler.spell(now() - t.cancel_requested_at)), null
    from t where t.state = 'running' and t.cancel_requested_at is not null
    union all
    select 21, 'worker_stale', case when t.seen_at is null then format('Worker %s is gone; the task is about to be given back.', t.worker_id)
      else format('Worker %s was last heard of %s ago; after %s of silence its tasks are given back.', t.worker,
        scheduler.spell(now() - t.seen_at), scheduler.spell(t.ttl_ms * interval '1 ms')) end, null
    from t where t.state = 'running' and t.endpoint is null and (t.seen_at is null or t.seen_at + t.ttl_ms * interval '1 ms' < now())
    union all
    select 22, 'running', format('It has run on %s for %s (attempt %s).', t.worker,
      scheduler.spell(now() - t.started_at), t.attempt), null
    from t where t.state = 'running' and t.endpoint is null and t.seen_at + t.ttl_ms * interval '1 ms' >= now()
    union all
    select 23, 'accepted', format('Endpoint %s accepted attempt %s and is to end it within %s.', t.endpoint, t.attempt, scheduler.spell(greatest(interval '0',
      least(t.accepted_at + t.complete_within_ms * interval '1 ms', t.started_at + t.timeout_ms * interval '1 ms') - now()))), null
    from t where t.endpoint is not null
    union all
    select 30, 'expired', format('Its expires_at passed %s ago; it is about to be cancelled.', scheduler.spell(now() - t.expires_at)), null
    from t where t.state in ('scheduled', 'ready') and t.expires_at <= now()
    union all
    select 40, 'blocked', 'It waits for other tasks.', null from t where t.state = 'blocked'
    union all
    select 41, 'retry_backoff', format('Attempt %s failed (%s: %s); failure %s of %s. The next attempt is due in %s.',
      t.attempt, t.error_code, t.error, t.failures, t.max_attempts, scheduler.spell(t.run_at - now())), null
    from t where t.state = 'scheduled' and t.run_at > now() and t.error_code is not null
    union all
    select 42, 'not_due', format('It is due in %s, at %s.', scheduler.spell(t.run_at - now()), scheduler.spell(t.run_at)), null
    from t where t.state = 'scheduled' and t.run_at > now() and t.error_code is null
    union all
    select 43, 'promotion_pending', 'It is due and not promoted yet; any worker or server does that within seconds.',
      'start a worker or a server: scheduler worker, scheduler serve'
    from t where t.state = 'scheduled' and t.run_at <= now()
    union all
    select 50, 'queue_paused', format('Queue %s has been paused for %s, since %s.', q.name, scheduler.spell(now() - q.paused_at), scheduler.spell(q.paused_at)), 'scheduler queues resume ' || q.name
    from t join scheduler.queues q on q.name = t.queue
    where q.paused_at is not null and t.state in ('blocked', 'scheduled', 'ready')
    union all
    select 55, 'endpoint_paused', format('Endpoint %s has been paused for %s, since %s.', e.name, scheduler.spell(now() - e.paused_at), scheduler.spell(e.paused_at)), 'scheduler endpoints resume ' || e.name
    from endpoint e where e.paused_at is not null
    union all
    select 56, 'endpoint_open', case e.state when 'half_open' then format('Endpoint %s has failed for %s; a probe is under way that decides.', e.name, scheduler.spell(now() - e.opened_at))
        else format('Endpoint %s has failed for %s, %s in a row (%s); the next probe is %s.', e.name, scheduler.spell(now() - e.opened_at), case when e.failures = 1 then '1 time' else e.failures || ' times' end, e.last_error,
          case when e.probe_at > now() then 'due in ' || scheduler.spell(e.probe_at - now()) else 'the next task' end) end,
      'mend it; scheduler endpoints resume ' || e.name || ' tries at once'
    from endpoint e where e.paused_at is null and e.state <> 'closed'
    union all
    select 57, 'endpoint_unserved', format('Endpoint %s takes such tasks, but no live process delivers to it.', e.name), 'scheduler worker --push'
    from endpoint e where e.paused_at is null and e.processes = 0
    union all
    select 58, 'endpoint_busy', format('Endpoint %s has all the %s tasks in hand that it takes at once.', e.name, e.concurrency), null
    from endpoint e where e.paused_at is null and e.state = 'closed' and e.in_flight >= e.concurrency
    union all
    select 60, 'no_worker_for_queue', format('No live worker takes from queue %s.', t.queue),
      'scheduler worker --queue ' || t.queue
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.queue_workers = 0 and not exists (select from endpoint)
    union all
    select 61, 'no_worker_for_kind', format('No live worker of queue %s can run kind %s; they can run: %s.', t.queue, t.kind,
      coalesce((select string_agg(distinct k, ', ') from live l, unnest(l.kinds) k where t.queue = any (l.queues)), 'nothing')),
      'start a worker that has a handler for ' || t.kind
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.queue_workers > 0 and crew.fit = 0 and not exists (select from endpoint)
    union all
    select 62, 'workers_quiet', 'All workers that could run it were told to be quiet or to stop.', 'start another worker'
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.fit > 0 and crew.willing = 0
    union all
    select 63, 'workers_busy', format('All %s slots that could run it are busy.', crew.slots), 'start more workers or raise --concurrency'
    from t, crew where t.state = 'ready' and crew.able > 0 and crew.free <= 0
    union all
    select 90, 'ready', 'It may start at any moment.', null
    from t, crew where t.state = 'ready' and crew.free > 0 and (t.expires_at is null or t.expires_at > now())
      and not exists (select from scheduler.queues q where q.name = t.queue and q.paused_at is not null)
  )
  select row_number() over (order by r.rank)::integer, r.code, r.reason, r.fix from reasons r order by r.rank
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
-- Why a task does not run (or that it does): the reasons in order, the one to mend first on top. As before, and with endpoints.
create or replace function scheduler.explain(id uuid) returns table (rank integer, code text, reason text, fix text)
language sql stable as $$
  with t as (
    select t.*, w.name as worker, w.seen_at, w.ttl_ms from scheduler.tasks t
    left join scheduler.workers w on w.id = t.worker_id
    where t.id = explain.id
  ), live as (
    select w.*, exists (
        select from scheduler.endpoint_slots s join scheduler.endpoints e on e.name = s.endpoint
        where s.worker_id = w.id and (e.paused_at is not null or e.state <> 'closed' or e.concurrency <= (
          select sum(o.slots) from scheduler.endpoint_slots o join scheduler.workers ow on ow.id = o.worker_id where o.endpoint = e.name))) as held_up
    from scheduler.workers w where w.seen_at + w.ttl_ms * interval '1 ms' >= now()
  ), crew as (
    select count(*) filter (where takes_queue) as queue_workers,
      count(*) filter (where takes_queue and takes_kind) as fit,
      count(*) filter (where takes_queue and takes_kind and command = 'run') as willing,
      count(*) filter (where takes_queue and takes_kind and command = 'run' and not held_up) as able,
      coalesce(sum(slots - running) filter (where takes_queue and takes_kind and command = 'run' and not held_up), 0) as free,
      coalesce(sum(slots) filter (where takes_queue and takes_kind and command = 'run' and not held_up), 0) as slots
    from (select l.*, t.queue = any (l.queues) as takes_queue, t.kind = any (l.kinds) as takes_kind from live l, t) c
  ), endpoint as (
    select e.*, (select count(*) from scheduler.endpoint_slots s join live l on l.id = s.worker_id where s.endpoint = e.name) as processes,
      (select sum(s.slots) from scheduler.endpoint_slots s join scheduler.workers w on w.id = s.worker_id where s.endpoint = e.name) as in_flight
    from scheduler.endpoints e, t
    where t.state in ('blocked', 'scheduled', 'ready') and t.queue = any (e.queues) and t.kind = any (e.kinds)
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
    select 55, 'endpoint_paused', format('Endpoint %s is paused since %s.', e.name, e.paused_at), 'scheduler endpoints resume ' || e.name
    from endpoint e where e.paused_at is not null
    union all
    select 56, 'endpoint_open', case e.state when 'half_open' then format('Endpoint %s has failed since %s; a probe is under way that decides.', e.name, e.opened_at)
        else format('Endpoint %s has failed since %s, %s times in a row (%s); the next probe is %s.', e.name, e.opened_at, e.failures, e.last_error,
          case when e.probe_at > now() then 'due in ' || date_trunc('milliseconds', e.probe_at - now()) else 'the next task' end) end,
      'mend it; scheduler endpoints resume ' || e.name || ' tries at once'
    from endpoint e where e.paused_at is null and e.state <> 'closed'
    union all
    select 57, 'endpoint_unserved', format('Endpoint %s takes such tasks, but no live process delivers to it.', e.name), 'scheduler worker --push'
    from endpoint e where e.paused_at is null and e.processes = 0
    union all
    select 58, 'endpoint_busy', format('Endpoint %s has all the %s tasks in hand that it takes at once.', e.name, e.concurrency), null
    from endpoint e where e.paused_at is null and e.state = 'closed' and e.in_flight >= e.concurrency
    union all
    select 60, 'no_worker_for_queue', format('No live worker takes from queue %s.', t.queue),
      'scheduler worker --queue ' || t.queue
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.queue_workers = 0 and not exists (select from endpoint)
    union all
    select 61, 'no_worker_for_kind', format('No live worker of queue %s can run kind %s; they can run: %s.', t.queue, t.kind,
      coalesce((select string_agg(distinct k, ', ') from live l, unnest(l.kinds) k where t.queue = any (l.queues)), 'nothing')),
      'start a worker that has a handler for ' || t.kind
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.queue_workers > 0 and crew.fit = 0 and not exists (select from endpoint)
    union all
    select 62, 'workers_quiet', 'All workers that could run it were told to be quiet or to stop.', 'start another worker'
    from t, crew where t.state in ('blocked', 'scheduled', 'ready') and crew.fit > 0 and crew.willing = 0
    union all
    select 63, 'workers_busy', format('All %s slots that could run it are busy.', crew.slots), 'start more workers or raise --concurrency'
    from t, crew where t.state = 'ready' and crew.able > 0 and crew.free <= 0
    union all
    select 90, 'ready', 'It may start at any moment.', null
    from t, crew where t.state = 'ready' and crew.free > 0 and (t.expires_at is null or t.expires_at > now())
      and not exists (select from scheduler.queues q where q.name = t.queue and q.paused_at is not null)
  )
  select row_number() over (order by r.rank)::integer, r.code, r.reason, r.fix from reasons r order by r.rank
$$;
-- +goose StatementEnd

drop function scheduler.spell(interval);
drop function scheduler.spell(timestamptz);
drop index scheduler.attempts_ended;
