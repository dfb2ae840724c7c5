-- messages_read: messages after a position, in the order that is the same for all.
-- $1 tick, $2 id: the position; $3 tick: none after this one; $4 limit. Rows: up to the limit, by tick and id; less: that was all of
-- ticks $1 to $3. Locks: none. Each tick's are those that its snapshot sees and the one before it does not: by the index on xid, what had begun
-- since, and what was under way then.
select t.n as tick, m.id, m.topic, m.payload, m.published_at
from scheduler.message_ticks t
join scheduler.message_ticks p on p.n = t.n - 1
cross join lateral (
  select f.id, f.topic, f.payload, f.published_at from scheduler.messages f
  where f.xid >= pg_snapshot_xmax(p.snapshot) and f.xid < pg_snapshot_xmax(t.snapshot) and pg_visible_in_snapshot(f.xid, t.snapshot)
  union all
  select f.id, f.topic, f.payload, f.published_at from scheduler.messages f
  where f.xid = any (array(select pg_snapshot_xip(p.snapshot))) and pg_visible_in_snapshot(f.xid, t.snapshot)
) m
where t.n between $1::bigint and $3::bigint and (t.n > $1::bigint or m.id > $2::bigint)
order by t.n, m.id
limit $4::integer
