-- promote: makes due tasks ready, and says when the next one is due.
-- $1 limit. Rows: one a queue that got ready tasks: queue, count; always one with queue NULL: next_ms until the next is due,
-- NULL when none waits. Locks: the tasks, skipping those locked; by tuple id. Wakes the queues' workers. Hot: positional.
with promoted as (
  update scheduler.tasks t
  set state = 'ready', revision = t.revision + 1
  where t.ctid = any (array(
    select c.ctid from scheduler.tasks c where c.waiting and c.run_at <= now()
    order by c.run_at limit $1::integer for update skip locked))
  returning t.queue
), queues as (
  select p.queue, count(*) as tasks from promoted p group by p.queue
)
select q.queue, q.tasks, null::bigint as next_ms from queues q, lateral (select pg_notify('scheduler_ready', q.queue)) n
union all
select null, 0, (select greatest(0, ceil(extract(epoch from c.run_at - clock_timestamp()) * 1000))::bigint from scheduler.tasks c
  where c.waiting and c.run_at > now() order by c.run_at limit 1)
