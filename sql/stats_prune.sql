-- stats_prune: removes counts older than 7 days. $1 limit. Rows: one a row removed, its minute. Locks: the rows, skipping those locked.
delete from scheduler.stats s
where s.ctid = any (array(
  select c.ctid from scheduler.stats c where c.minute < now() - interval '7 days' order by c.minute limit $1::integer for update skip locked))
returning s.minute
