-- schedule_resume: lets it fire again, from its next tick on, which plan.sql works out; ticks of the pause are not made up for.
-- @name. Rows: 1. 0: no such schedule. Locks: the schedule.
update scheduler.schedules
set next_run_at = case when paused_at is null then next_run_at end, paused_at = null, updated_at = now()
where name = @name
returning name
