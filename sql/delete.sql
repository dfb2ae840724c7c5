-- delete: removes a final task and what is written beside it. @id. @actor, NULL: the database's role. Rows: 1: its id. 0: not final, or unknown.
-- Locks: the task, then side rows. Leaves an audit row.
with gone as (
  delete from scheduler.tasks t where t.id = @id and t.state in ('completed', 'failed', 'cancelled') returning t.id, t.kind, t.state, t.queue
), attempts as (
  delete from scheduler.attempts a using gone g where a.task_id = g.id
), requests as (
  delete from scheduler.cancellations c using gone g where c.task_id = g.id
), logs as (
  delete from scheduler.task_logs l using gone g where l.task_id = g.id
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target, detail)
  select coalesce(@actor::text, session_user), 'delete', g.id, g.kind, jsonb_build_object('state', g.state, 'queue', g.queue) from gone g
)
select g.id from gone g
