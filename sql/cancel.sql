-- cancel: @id, @reason or NULL. @actor, NULL: the database's role. Rows: 1: state now, requested: it runs and was asked to stop.
-- 0: final or unknown. Locks: the task, then its cancellation row. Leaves an audit row.
with done as materialized (
  select c.id, c.state, c.requested from scheduler.cancel(@id, @reason) c
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target, detail)
  select coalesce(@actor::text, session_user), 'cancel', d.id, (select t.kind from scheduler.tasks t where t.id = d.id),
    jsonb_strip_nulls(jsonb_build_object('reason', @reason::text, 'requested', d.requested))
  from done d
)
select d.state, d.requested from done d
