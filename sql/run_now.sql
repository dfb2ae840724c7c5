-- run_now: makes a scheduled task ready before its time. @id. @actor, NULL: the database's role.
-- Rows: 1: state now. 0: not scheduled, or unknown. Locks: the task. Wakes the queue's workers. Leaves an audit row.
with made as (
  update scheduler.tasks t set state = 'ready', run_at = now(), revision = t.revision + 1
  where t.id = @id and t.state = 'scheduled'
  returning t.id, t.kind, t.state, t.queue
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target) select coalesce(@actor::text, session_user), 'run', m.id, m.kind from made m
)
select m.state from made m, lateral (select pg_notify('scheduler_ready', m.queue)) n
