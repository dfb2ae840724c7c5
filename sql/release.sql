-- release: hands running tasks of one worker and queue back, unfinished, without burning a failure.
-- @worker, @queue; arrays sorted by id: @ids, @attempts.
-- Rows: the ids handed back (ready, or cancelled if that was asked for); one that is missing lost its lease.
-- Locks: the tasks, in the order given, then attempt rows. Wakes the queue's workers.
with ended as (
  update scheduler.tasks t
  set state = case when t.cancel_requested_at is not null then 'cancelled'::scheduler.task_state else 'ready' end,
      worker_id = case when t.cancel_requested_at is not null then t.worker_id end,
      finished_at = case when t.cancel_requested_at is not null then now() end,
      revision = t.revision + 1
  where t.id = any (@ids::uuid[]) and t.queue = @queue and t.worker_id = @worker and t.state = 'running'
    and t.attempt = (@attempts::integer[])[width_bucket(t.id, @ids::uuid[])] -- the id's place in the sorted array
  returning t.id, t.state, t.attempt, t.kind, t.started_at
), history as (
  insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, worker, started_at, error)
  select e.id, e.attempt, @queue, e.kind, case when e.state = 'cancelled' then 'cancelled' else 'released' end, @worker,
    (select w.name from scheduler.workers w where w.id = @worker), e.started_at, 'handed back at shutdown'
  from ended e
), hint as (
  select pg_notify('scheduler_ready', @queue) from (select from ended where state = 'ready' limit 1) r
)
select e.id from ended e left join hint on true
