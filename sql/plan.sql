-- plan: sets the next tick of a schedule that has none, or says why it never will have one.
-- @name, @expression, @zone, @due: as due.sql gave them; @next_run_at; @error: NULL: none. Rows: none. Locks: the schedule.
update scheduler.schedules set next_run_at = @next_run_at, error = @error
where name = @name and expression = @expression and zone = @zone and next_run_at is not distinct from @due
