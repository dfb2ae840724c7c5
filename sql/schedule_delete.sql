-- schedule_delete: removes a schedule and the memory of its ticks; its tasks stay. @name. @actor, NULL: the database's role. Rows: 1: its name. 0: no such schedule.
-- Locks: the schedule, then its ticks. Leaves an audit row.
with gone as (delete from scheduler.schedules where name = @name returning name),
  ticks as (delete from scheduler.schedule_ticks t using gone g where t.schedule = g.name),
  audit as (insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'delete_schedule', g.name from gone g)
select name from gone
