-- stats: how attempts ended, in steps of time. @span_ms: how far back. @step_ms: the length of a step. @queue, @kind: NULL: any.
-- Rows: one a step, queue and kind of which there is anything, oldest first. Locks: none.
select date_bin(@step_ms * interval '1 ms', s.minute, 'epoch') as at, s.queue, s.kind,
  sum(s.completed)::bigint as completed, sum(s.failed)::bigint as failed, sum(s.dead)::bigint as dead, sum(s.cancelled)::bigint as cancelled,
  sum(s.crashed)::bigint as crashed, sum(s.run_ms)::bigint as run_ms, sum(s.wait_ms)::bigint as wait_ms
from scheduler.stats s
where s.minute > now() - @span_ms * interval '1 ms' and (@queue::text is null or s.queue = @queue) and (@kind::text is null or s.kind = @kind)
group by 1, 2, 3
order by 1, 2, 3
