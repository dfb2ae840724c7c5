-- dead_groups: the newest failed tasks grouped by how their errors read. @queue, @kind: NULL: any. @scan: tasks looked at. @limit: groups at most.
-- Rows: one a group, the largest first; tasks: how many; looked_at: the same in each row. Locks: none.
with dead as materialized (
  select t.id, t.kind, t.queue, coalesce(t.error_code, '') as error_code, left(t.error, 1000) as error, coalesce(t.finished_at, t.created_at) as at
  from scheduler.tasks t
  where t.dead and (@queue::text is null or t.queue = @queue) and (@kind::text is null or t.kind = @kind)
  order by t.id desc
  limit @scan
)
select scheduler.error_group(d.error_code, d.error) as error_group, min(d.error_code) as error_code,
  min(scheduler.error_shape(d.error)) as shape, count(*)::integer as tasks, (array_agg(d.id order by d.id desc))[1] as sample,
  (array_agg(d.error order by d.id desc))[1] as error, array_agg(distinct d.kind order by d.kind) as kinds,
  array_agg(distinct d.queue order by d.queue) as queues, min(d.at) as first_at, max(d.at) as last_at,
  (select count(*)::integer from dead) as looked_at
from dead d
group by 1
order by count(*) desc, max(d.at) desc
limit @limit
