-- counts: how many tasks there are in each state, at the cost of some 20,000 rows at most.
-- ready, scheduled, failed: counted by their indexes up to @cap; running: by the lease rows. The others: counted while the table has
-- fewer than @cap rows, else worked out from the planner's statistics (approximate). @cap.
-- Rows: one a state that may have tasks; tasks = @cap and not approximate: that many or more. Locks: none.
with size as (
  select coalesce((select c.reltuples from pg_class c where c.oid = 'scheduler.tasks'::regclass), 0)::float8 as rows
), sample as (
  select s.state from size z, lateral (select t.state from scheduler.tasks t where z.rows < 2 * @cap::bigint limit @cap::bigint) s
), small as (
  select z.rows < 2 * @cap::bigint and (select count(*) from sample) < @cap::bigint as exact from size z
), share as (
  select u.state, u.share from pg_stats s, unnest(s.most_common_vals::text::text[], s.most_common_freqs) u(state, share)
  where s.schemaname = 'scheduler' and s.tablename = 'tasks' and s.attname = 'state'
)
select 'ready' as state, count(*) as tasks, false as approximate from (select from scheduler.tasks t where t.ready limit @cap::bigint) c
union all
select 'scheduled', count(*), false from (select from scheduler.tasks t where t.waiting limit @cap::bigint) c
union all
select 'failed', count(*), false from (select from scheduler.tasks t where t.dead limit @cap::bigint) c
union all
select 'running', count(*), false from scheduler.tasks t
where t.id = any (array(select unnest(l.task_ids) from scheduler.leases l)) and t.state = 'running'
union all
select s.state, greatest((select count(*) from sample x where x.state::text = s.state),
    case when m.exact then 0 else (z.rows * coalesce((select h.share from share h where h.state = s.state), 0))::bigint end), not m.exact
from (values ('blocked'), ('completed'), ('cancelled')) s(state), small m, size z
