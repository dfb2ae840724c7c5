-- messages_prune: removes old messages, and the ticks and keys that nothing needs any more.
-- $1 milliseconds that messages are kept; $2 limit of each. Rows: 1: how many messages, ticks and keys were removed.
-- Locks: the rows, skipping those locked. Ticks go when a younger one is that old; messages once the oldest tick sees them: whoever would
-- read them needs the tick before, and learns that it is gone. A message of a transaction that is yet to come is one of another cluster,
-- whose dump was restored here. Keys stay for a day at least.
with oldest as (
  select t.snapshot from scheduler.message_ticks t order by t.n limit 1
), old_ticks as (
  delete from scheduler.message_ticks t
  where t.n = any (array(
    select c.n from scheduler.message_ticks c
    where c.n < (select b.n from scheduler.message_ticks b where b.at < now() - $1::bigint * interval '1 ms' order by b.at desc limit 1)
    order by c.n limit $2::integer for update skip locked))
  returning t.n
), old_messages as (
  delete from scheduler.messages m
  where m.ctid = any (array(
    select c.ctid from scheduler.messages c
    where c.xid < (select pg_snapshot_xmax(o.snapshot) from oldest o) and pg_visible_in_snapshot(c.xid, (select o.snapshot from oldest o))
    order by c.xid, c.id limit $2::integer for update skip locked))
  returning m.id
), foreign_messages as (
  delete from scheduler.messages m
  where m.ctid = any (array(
    select c.ctid from scheduler.messages c where c.xid >= pg_snapshot_xmax(pg_current_snapshot())
    order by c.xid, c.id limit $2::integer for update skip locked))
  returning m.id
), old_keys as (
  delete from scheduler.message_keys k
  where k.ctid = any (array(
    select c.ctid from scheduler.message_keys c
    where c.published_at < now() - greatest($1::bigint * interval '1 ms', interval '1 day')
    order by c.published_at limit $2::integer for update skip locked))
  returning k.key
)
select (select count(*) from old_messages) + (select count(*) from foreign_messages) as messages, (select count(*) from old_ticks) as ticks, (select count(*) from old_keys) as keys
