-- schedule_ticks: the last ticks of each schedule and what became of their tasks, newest first. @limit ticks of each.
-- Rows: by schedule; state NULL: the task was deleted. Locks: none.
select s.name as schedule, k.tick_at, k.task_id, t.state
from scheduler.schedules s,
  lateral (select k.tick_at, k.task_id from scheduler.schedule_ticks k where k.schedule = s.name order by k.tick_at desc limit @limit) k
left join scheduler.tasks t on t.id = k.task_id
order by s.name, k.tick_at desc
