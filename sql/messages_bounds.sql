-- messages_bounds: which ticks there are. Rows: 1: the oldest, whose own messages may be gone, and the newest. Locks: none.
select (select t.n from scheduler.message_ticks t order by t.n limit 1) as oldest,
  (select t.n from scheduler.message_ticks t order by t.n desc limit 1) as newest
