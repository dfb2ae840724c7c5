-- expire: cancels tasks that were not started by their expires_at.
-- $1 limit. Rows: the ids cancelled. Locks: the tasks, skipping those locked.
update scheduler.tasks t
set state = 'cancelled', finished_at = now(), error_code = 'expired', error = 'not started by ' || scheduler.spell(t.expires_at), revision = t.revision + 1
where t.ctid = any (array(
  select c.ctid from scheduler.tasks c
  where (c.ready or c.waiting) and c.expires_at is not null and c.expires_at <= now()
  order by c.expires_at limit $1::integer for update skip locked))
returning t.id
