-- lease_tail: where to look for what comes next in a queue whose ready tasks, if there are any, are of kinds that others run.
-- $1 queue, $2 margin in ms: what was submitted so long ago may still commit, and is not passed by. Rows: 1. Locks: none. Hot: positional.
-- Not past the last ready task and not past a plain task submitted now.
select coalesce(last.priority, 0::smallint) as priority, least(last.run_at, now() - make_interval(secs => $2::bigint / 1000.0)) as run_at,
  '00000000-0000-0000-0000-000000000000'::uuid as id
from (values (1)) as one
left join lateral (
  select t.priority, t.run_at from scheduler.tasks t where t.queue = $1::text and t.ready
  order by t.priority desc, t.run_at desc, t.id desc limit 1) last on true
