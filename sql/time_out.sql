-- time_out: finds attempts of remote workers whose time has been over for 5 s. $1 lease rows at most.
-- Rows: the attempts, which are to be failed; whoever found them and did not do that leaves them to the next look in 30 s.
-- Locks: lease rows, skipping those locked. Hot: positional.
with due as materialized (
  select l.worker_id, l.id, l.queue, l.task_ids, l.leased_at from scheduler.leases l
  where l.timeout_at <= now() order by l.timeout_at limit $1::integer for update skip locked
), runs as materialized (
  select d.id as lease_id, t.id, d.queue, d.worker_id, t.attempt, t.kind, d.leased_at + (t.timeout_ms + 5000) * interval '1 ms' as over_at, t.timeout_ms
  from due d, unnest(d.task_ids) as u(id),
    lateral ( -- one look at the primary key for each, whatever the statistics say of running tasks
      select t.id, t.attempt, t.kind, t.timeout_ms from scheduler.tasks t
      where t.id = u.id and t.queue = d.queue and t.worker_id = d.worker_id and t.state = 'running' and t.started_at = d.leased_at
        and t.timeout_ms is not null offset 0) t
), moved as (
  update scheduler.leases l
  set timeout_at = (select min(case when r.over_at <= now() then now() + interval '30 s' else r.over_at end) from runs r where r.lease_id = l.id)
  from due d
  where l.worker_id = d.worker_id and l.id = d.id
)
select r.id, r.queue, r.worker_id, r.attempt, r.kind, r.timeout_ms from runs r where r.over_at <= now()
