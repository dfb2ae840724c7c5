-- trigger: makes a task of a schedule now, beside its ticks. @name. Rows: 1: the task's id. 0: no such schedule. Locks: none.
with made as (
  insert into scheduler.tasks (queue, kind, state, payload, priority, max_attempts, timeout_ms, backoff_ms, schedule)
  select s.queue, s.kind, 'ready', s.payload, s.priority, s.max_attempts, s.timeout_ms, s.backoff_ms, s.name
  from scheduler.schedules s where s.name = @name
  returning id, queue
)
select d.id from made d, lateral (select pg_notify('scheduler_ready', d.queue)) n
