-- trigger: makes a task of a schedule now, beside its ticks. @name; @trace, NULL: none; @actor, NULL: the database's role.
-- Rows: 1: the task's id. 0: no such schedule. Locks: none.
-- Leaves an audit row.
with made as (
  insert into scheduler.tasks (queue, kind, state, payload, priority, max_attempts, timeout_ms, backoff_ms, schedule, trace)
  select s.queue, s.kind, 'ready', s.payload, s.priority, s.max_attempts, s.timeout_ms, s.backoff_ms, s.name, @trace::text
  from scheduler.schedules s where s.name = @name
  returning id, queue
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target) select coalesce(@actor::text, session_user), 'trigger_schedule', d.id, @name from made d
)
select d.id from made d, lateral (select pg_notify('scheduler_ready', d.queue)) n
