-- fire: makes the task of one tick and moves the schedule on, in one statement; of many callers one wins.
-- @name, @expression, @zone, @due: next_run_at, as due.sql gave them; @tick_at: the tick that fires; @next_run_at: the one after.
-- Rows: 1: the task's id and queue. 0: another process fired it, or the schedule changed. Locks: the schedule, then the tick's key.
with moved as (
  update scheduler.schedules s set next_run_at = @next_run_at, last_run_at = @tick_at
  where s.name = @name and s.expression = @expression and s.zone = @zone and s.next_run_at = @due and s.paused_at is null
  returning s.*
), tick as (
  insert into scheduler.schedule_ticks (schedule, tick_at, queue, task_id)
  select m.name, @tick_at, m.queue, scheduler.uuidv7() from moved m
  on conflict do nothing
  returning task_id
), made as (
  insert into scheduler.tasks (id, queue, kind, state, payload, priority, max_attempts, timeout_ms, backoff_ms, schedule, tick_at)
  select k.task_id, m.queue, m.kind, 'ready', m.payload, m.priority, m.max_attempts, m.timeout_ms, m.backoff_ms, m.name, @tick_at
  from moved m, tick k
  returning id, queue
)
select d.id, d.queue from made d, lateral (select pg_notify('scheduler_ready', d.queue)) n
