-- retry: @id. @actor, NULL: the database's role. Rows: 1: state now. 0: neither failed nor cancelled, or unknown. Locks: the task.
-- Leaves an audit row.
with done as materialized (
  select r.id, r.state from scheduler.retry(@id) r
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target)
  select coalesce(@actor::text, session_user), 'retry', d.id, (select t.kind from scheduler.tasks t where t.id = d.id) from done d
)
select d.state from done d
