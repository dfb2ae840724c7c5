-- schedule_delete: removes a schedule and the memory of its ticks; its tasks stay. @name. Rows: 1: its name. 0: no such schedule.
-- Locks: the schedule, then its ticks.
with gone as (delete from scheduler.schedules where name = @name returning name),
  ticks as (delete from scheduler.schedule_ticks t using gone g where t.schedule = g.name)
select name from gone
