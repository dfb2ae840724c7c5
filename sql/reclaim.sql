-- reclaim: hands back tasks that a live worker holds without knowing, since the answer to its lease was lost.
-- @worker; @held: the lease rows that it knows; @older_ms: spares younger ones.
-- Rows: the ids handed back (ready, or cancelled if that was asked for). Locks: lease rows, tasks by id, attempt rows.
-- Wakes the queues' workers.
with stray as (
  delete from scheduler.leases l
  where l.worker_id = @worker and l.endpoint is null and l.id <> all (@held::bigint[]) and l.leased_at <= now() - @older_ms::bigint * interval '1 ms'
  returning l.queue, l.task_ids, l.leased_at
), lost as ( -- started_at tells which lease row a task's present attempt came with: an older one may name it too
  select l.id
  from (select unnest(s.task_ids) as id, s.queue, s.leased_at from stray s order by 1) s,
    lateral ( -- one look at the primary key for each, whatever the statistics say of running tasks
      select t.id from scheduler.tasks t
      where t.id = s.id and t.queue = s.queue and t.worker_id = @worker and t.state = 'running' and t.started_at = s.leased_at
      for no key update of t) l
), ended as (
  update scheduler.tasks t
  set state = case when t.cancel_requested_at is not null then 'cancelled'::scheduler.task_state else 'ready' end,
      worker_id = case when t.cancel_requested_at is not null then t.worker_id end,
      finished_at = case when t.cancel_requested_at is not null then now() end,
      revision = t.revision + 1
  from lost l
  where t.id = l.id and t.worker_id = @worker and t.state = 'running'
  returning t.id, t.queue, t.state, t.attempt, t.kind, t.started_at
), history as (
  insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error)
  select e.id, e.attempt, e.queue, e.kind, case when e.state = 'cancelled' then 'cancelled' else 'released' end, @worker,
    (select w.name from scheduler.workers w where w.id = @worker), e.started_at, 'handed back: the answer to the lease was lost'
  from ended e
), hint as (
  select count(pg_notify('scheduler_ready', q.queue)) from (select distinct queue from ended where state = 'ready') q
)
select e.id from ended e, hint
