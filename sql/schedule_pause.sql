-- schedule_pause: a paused schedule makes no tasks. @name. Rows: 1: since when. 0: no such schedule. Locks: the schedule.
update scheduler.schedules set paused_at = coalesce(paused_at, now()), updated_at = now() where name = @name returning paused_at
