-- watch_mark: has the changes of tasks told to those who watch, for two minutes. Renewed when half of that is over.
-- @ids. Rows: one a task that could not be marked now, since somebody has its row locked. Locks: the tasks, skipping those locked.
with marked as (
  update scheduler.tasks t
  set watched_until = now() + interval '2 min'
  where t.id = any (array(
    select c.id from scheduler.tasks c
    where c.id = any (@ids::uuid[]) and c.state not in ('completed', 'failed', 'cancelled')
      and (c.watched_until is null or c.watched_until < now() + interval '1 min')
    order by c.id
    for no key update skip locked))
  returning t.id
)
select t.id from scheduler.tasks t
where t.id = any (@ids::uuid[]) and t.state not in ('completed', 'failed', 'cancelled')
  and (t.watched_until is null or t.watched_until < now() + interval '1 min')
  and not exists (select from marked m where m.id = t.id)
