-- schedule_resume: lets it fire again, from its next tick on, which plan.sql works out; ticks of the pause are not made up for.
-- @name. @actor, NULL: the database's role. Rows: 1. 0: no such schedule. Locks: the schedule. Leaves an audit row.
with resumed as (
  update scheduler.schedules
  set next_run_at = case when paused_at is null then next_run_at end, paused_at = null, updated_at = now()
  where name = @name
  returning name
), audit as (
  insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'resume_schedule', r.name from resumed r
)
select r.name from resumed r
