-- audit_prune: removes actions older than 90 days. $1 limit. Rows: one a row removed, its id. Locks: the rows, skipping those locked.
-- Reads the oldest rows by their ids: at grows with them, but for clocks set back.
delete from scheduler.audit a
where a.ctid = any (array(
  select c.ctid from (select o.ctid, o.id, o.at from scheduler.audit o order by o.id limit $1::integer for update skip locked) c
  where c.at < now() - interval '90 days'))
returning a.id
