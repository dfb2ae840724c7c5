-- ready: queues with ready tasks, found by leaping from one to the next.
-- Rows: the queues, 1,000 at most. Locks: none. Hot.
with recursive found as (
  (select c.queue from scheduler.tasks c where c.ready order by c.queue limit 1)
  union all
  select (select c.queue from scheduler.tasks c where c.ready and c.queue > f.queue order by c.queue limit 1)
  from found f where f.queue is not null
)
select f.queue from found f where f.queue is not null limit 1000
