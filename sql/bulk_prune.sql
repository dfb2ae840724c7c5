-- bulk_prune: removes bulks that have been over for 90 days. $1 limit. Rows: one a row removed, its id.
-- Locks: the rows, skipping those locked.
delete from scheduler.bulk b
where b.ctid = any (array(
  select c.ctid from scheduler.bulk c where c.finished_at < now() - interval '90 days' limit $1::integer for update skip locked))
returning b.id
