-- queues: every queue with its counts, each counted to @cap at most: a backlog of millions must not cost seconds.
-- Waiting tasks have no index by queue: of those of all queues, the 10 * @cap that are due first are looked at.
-- @cap. Rows: one a queue that has tasks not final, failed tasks, workers or settings; oldest_ready_ms NULL: nothing ready. Locks: none.
with recursive walk as (
  (select t.queue from scheduler.tasks t where t.ready order by t.queue limit 1)
  union all
  select (select t.queue from scheduler.tasks t where t.ready and t.queue > walk.queue order by t.queue limit 1)
  from walk where walk.queue is not null
), waiting as (
  select s.queue, least(count(*), @cap::bigint) as tasks
  from (select t.queue from scheduler.tasks t where t.waiting order by t.run_at limit 10 * @cap::bigint) s group by s.queue
), dead_walk as (
  (select t.queue from scheduler.tasks t where t.dead order by t.queue limit 1)
  union all
  select (select t.queue from scheduler.tasks t where t.dead and t.queue > dead_walk.queue order by t.queue limit 1)
  from dead_walk where dead_walk.queue is not null
), dead as (
  select w.queue, c.tasks from dead_walk w,
    lateral (select count(*) as tasks from (select from scheduler.tasks t where t.dead and t.queue = w.queue limit @cap::bigint) c) c
  where w.queue is not null
), running as (
  select t.queue, count(*) as tasks
  from scheduler.tasks t
  where t.id = any (array(select unnest(l.task_ids) from scheduler.leases l)) and t.state = 'running' group by t.queue
), staff as (
  select q as queue, count(*) as workers, sum(w.slots) as slots
  from scheduler.workers w, unnest(w.queues) q where w.seen_at + w.ttl_ms * interval '1 ms' >= now() group by q
), names as (
  select queue from walk where queue is not null union select queue from waiting union select queue from dead
  union select queue from running union select queue from staff union select name from scheduler.queues
)
select n.queue as name, q.paused_at, coalesce(r.tasks, 0) as ready, coalesce(w.tasks, 0) as scheduled, coalesce(u.tasks, 0) as running,
  coalesce(d.tasks, 0) as failed, coalesce(s.workers, 0) as workers, coalesce(s.slots, 0) as slots, o.oldest_ready_ms
from names n
left join scheduler.queues q on q.name = n.queue
left join waiting w on w.queue = n.queue
left join dead d on d.queue = n.queue
left join running u on u.queue = n.queue
left join staff s on s.queue = n.queue
left join lateral (select count(*) as tasks from (select from scheduler.tasks t where t.ready and t.queue = n.queue limit @cap::bigint) c) r on true
left join lateral (select (extract(epoch from now() - min(c.run_at)) * 1000)::bigint as oldest_ready_ms
  from (select t.run_at from scheduler.tasks t where t.ready and t.queue = n.queue order by t.priority, t.run_at, t.id limit @cap::bigint) c) o on true
order by n.queue
