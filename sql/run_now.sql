-- run_now: makes a scheduled task ready at once. @id. Rows: 1: its state now. 0: not scheduled, or unknown. Locks: the task.
with moved as (
  update scheduler.tasks t set state = 'ready', run_at = now(), revision = t.revision + 1
  where t.id = @id and t.state = 'scheduled'
  returning t.state, t.queue
)
select m.state from moved m, lateral (select pg_notify('scheduler_ready', m.queue)) n
