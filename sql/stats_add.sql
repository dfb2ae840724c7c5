-- stats_add: adds counts to the present minute. Arrays: @queues, @kinds, @completed, @failed, @dead, @cancelled, @crashed, @run_ms, @wait_ms.
-- Rows: none. Locks: the rows of the minute, by queue and kind.
insert into scheduler.stats as s (minute, queue, kind, completed, failed, dead, cancelled, crashed, run_ms, wait_ms)
select date_trunc('minute', now()), r.queue, r.kind, r.completed, r.failed, r.dead, r.cancelled, r.crashed, r.run_ms, r.wait_ms
from unnest(@queues::text[], @kinds::text[], @completed::bigint[], @failed::bigint[], @dead::bigint[], @cancelled::bigint[], @crashed::bigint[],
  @run_ms::bigint[], @wait_ms::bigint[]) as r(queue, kind, completed, failed, dead, cancelled, crashed, run_ms, wait_ms)
order by r.queue, r.kind
on conflict (minute, queue, kind) do update set
  completed = s.completed + excluded.completed, failed = s.failed + excluded.failed, dead = s.dead + excluded.dead,
  cancelled = s.cancelled + excluded.cancelled, crashed = s.crashed + excluded.crashed,
  run_ms = s.run_ms + excluded.run_ms, wait_ms = s.wait_ms + excluded.wait_ms
