-- messages_tick: makes the next tick if there are messages that the newest one does not see. Its snapshot is that of this statement, which
-- therefore must be the first of its transaction, or the transaction read committed.
-- Rows: 1: the newest tick before; wanted: there are such messages; made: the tick. wanted without made: another process made one
-- meanwhile, which may not see all that was there; ask again. Locks: the key of the tick, for which another process waits.
-- By the ends of indexes, whatever statistics say. A snapshot from the future is one of another cluster, whose dump was restored here: ticks begin anew.
with newest as (
  select t.n, t.snapshot from scheduler.message_ticks t order by t.n desc limit 1
), wanted as (
  select w.n + 1 as n from newest w
  where (select m.xid from scheduler.messages m
    where m.xid < pg_snapshot_xmax(pg_current_snapshot()) order by m.xid desc limit 1) >= pg_snapshot_xmax(w.snapshot)
    or (select m.xid from scheduler.messages m where m.xid = any (array(select pg_snapshot_xip(w.snapshot))) order by m.xid limit 1) is not null
    or pg_snapshot_xmax(w.snapshot) > pg_snapshot_xmax(pg_current_snapshot())
), made as (
  insert into scheduler.message_ticks (n, snapshot) select w.n, pg_current_snapshot() from wanted w
  on conflict (n) do nothing
  returning n
)
select w.n as newest, exists (select from wanted) as wanted, exists (select from made) as made from newest w
