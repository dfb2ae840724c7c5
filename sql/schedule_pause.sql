-- schedule_pause: a paused schedule makes no tasks. @name. @actor, NULL: the database's role. Rows: 1: since when. 0: no such schedule.
-- Locks: the schedule. Leaves an audit row.
with paused as (
  update scheduler.schedules set paused_at = coalesce(paused_at, now()), updated_at = now() where name = @name returning name, paused_at
), audit as (
  insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'pause_schedule', p.name from paused p
)
select p.paused_at from paused p
