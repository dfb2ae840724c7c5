-- rescue: gives back the tasks of dead workers: those silent for their ttl, and lease rows without a worker, but not what endpoints accepted.
-- @max_crashes: a task that lost so many workers is failed. @limit: workers at most.
-- Rows: one for each task given back, with its state now. Locks: workers, leases, tasks by id, then side rows; it skips those
-- locked, for a worker that froze in a transaction of its own must not hold up the others' tasks. Those are left for the next rescue.
with dead as (
  delete from scheduler.workers w
  where w.id = any (array(
    select d.id from scheduler.workers d where d.seen_at + d.ttl_ms * interval '1 ms' < now()
    order by not exists (select from scheduler.leases l where l.worker_id = d.id), d.id -- those that held something first
    limit @limit for update skip locked))
  returning w.id, w.name
), held as (
  delete from scheduler.leases l
  where l.ctid = any (array(
    select c.ctid from scheduler.leases c
    where c.endpoint is null and (c.worker_id in (select id from dead)
      or c.leased_at < now() - interval '1 s' and not exists (select from scheduler.workers w where w.id = c.worker_id))
    for update skip locked))
  returning l.worker_id, l.queue, l.task_ids
), named as (
  select distinct unnest(h.task_ids) as id, h.worker_id, h.queue from held h
), requests as ( -- to cancel what has ended by now
  delete from scheduler.cancellations r
  where r.ctid = any (array(
    select c.ctid from scheduler.cancellations c
    where not exists (select from scheduler.tasks t where t.id = c.task_id and t.queue = c.queue and t.worker_id = c.worker_id
      and t.attempt = c.attempt and t.state = 'running')
    for update skip locked))
), lost as (
  select l.*
  from (select * from named order by id) n,
    lateral ( -- one look at the primary key for each, whatever the statistics say of running tasks
      select t.id, t.attempt, t.worker_id, t.started_at,
        case when t.cancel_requested_at is not null then 'cancelled'::scheduler.task_state
             when t.crashes + 1 >= @max_crashes::integer then 'failed' else 'ready' end as state
      from scheduler.tasks t
      where t.id = n.id and t.queue = n.queue and t.worker_id = n.worker_id and t.state = 'running'
      for no key update of t skip locked) l
), left_over as (
  insert into scheduler.leases (worker_id, queue, task_ids)
  select n.worker_id, n.queue, array_agg(n.id)
  from named n
  where n.id not in (select id from lost)
    and exists (select from scheduler.tasks t where t.id = n.id and t.queue = n.queue and t.worker_id = n.worker_id and t.state = 'running' offset 0)
  group by n.worker_id, n.queue
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
