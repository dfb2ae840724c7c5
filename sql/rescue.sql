-- rescue: gives back the tasks of dead workers: those silent for their ttl, and lease rows without a worker.
-- @max_crashes: a task that lost so many workers is failed. @limit: workers at most.
-- Rows: one for each task given back, with its state now. Locks: workers (skipping those locked), leases, tasks by id, side rows.
with dead as (
  delete from scheduler.workers w
  where w.id in (select d.id from scheduler.workers d where d.seen_at + d.ttl_ms * interval '1 ms' < now()
                 limit @limit for update skip locked)
  returning w.id, w.name
), held as (
  delete from scheduler.leases l
  where l.worker_id in (select id from dead)
    or (l.leased_at < now() - interval '1 s' and not exists (select from scheduler.workers w where w.id = l.worker_id))
  returning l.worker_id, l.queue, l.task_ids
), requests as (
  delete from scheduler.cancellations c where c.worker_id in (select worker_id from held)
), lost as (
  select l.*
  from (select distinct unnest(h.task_ids) as id, h.worker_id, h.queue from held h order by 1) h,
    lateral ( -- one look at the primary key for each, whatever the statistics say of running tasks
      select t.id, t.attempt, t.worker_id, t.started_at,
        case when t.cancel_requested_at is not null then 'cancelled'::scheduler.task_state
             when t.crashes + 1 >= @max_crashes::integer then 'failed' else 'ready' end as state
      from scheduler.tasks t
      where t.id = h.id and t.queue = h.queue and t.worker_id = h.worker_id and t.state = 'running'
      for no key update of t) l
), given as (
  update scheduler.tasks t
  set state = l.state, crashes = t.crashes + 1, revision = t.revision + 1,
      finished_at = case when l.state <> 'ready' then now() end,
      worker_id = case when l.state <> 'ready' then t.worker_id end,
      error_code = case when l.state = 'cancelled' then 'cancelled' else 'worker_lost' end,
      error = case when l.state = 'cancelled' then t.error else format('worker %s was lost while it ran attempt %s',
        coalesce((select d.name from dead d where d.id = l.worker_id), l.worker_id::text), l.attempt) end
  from lost l
  where t.id = l.id and t.state = 'running' and t.attempt = l.attempt and t.worker_id = l.worker_id
  returning t.id, t.queue, t.kind, t.state, t.attempt, l.worker_id, l.started_at, t.error
), history as (
  insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error_code, error)
  select g.id, g.attempt, g.queue, g.kind, 'crashed', g.worker_id, (select d.name from dead d where d.id = g.worker_id), g.started_at,
    'worker_lost', 'the worker stopped sending heartbeats'
  from given g
), hint as (
  select count(pg_notify('scheduler_ready', q.queue)) from (select distinct queue from given where state = 'ready') q
)
select g.id, g.queue, g.kind, g.state, g.attempt, g.worker_id from given g, hint
