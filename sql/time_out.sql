-- time_out: finds attempts that nobody is there to end: of remote workers whose time has been over for 5 s, and of endpoints that accepted
-- them, whose time is over or which are to be cancelled. $1 lease rows at most.
-- Rows: the attempts, which are to be failed; whoever found them and did not do that leaves them to the next look in 30 s.
-- Locks: lease rows, skipping those locked. Hot: positional.
with due as materialized (
  select l.worker_id, l.id, l.queue, l.task_ids, l.leased_at, l.endpoint, l.accepted_at + l.complete_within_ms * interval '1 ms' as complete_by,
    l.complete_within_ms
  from scheduler.leases l
  where l.ctid = any (array(select c.ctid from scheduler.leases c where c.timeout_at <= now() order by c.timeout_at limit $1::integer)
    || array(select c.ctid from scheduler.leases c
      where c.endpoint is not null and exists (select from scheduler.cancellations)
        and exists (select from scheduler.cancellations r where r.task_id = c.task_ids[1] and r.worker_id = c.worker_id offset 0) limit $1::integer))
  for update skip locked
), runs as materialized (
  select d.id as lease_id, t.id, d.queue, d.worker_id, t.attempt, t.kind, d.leased_at, t.timeout_ms, d.endpoint,
    case when t.cancel_requested_at is null and d.complete_by <= now() then d.complete_within_ms end as complete_within_ms,
    t.cancel_requested_at is not null as cancelled,
    case when d.endpoint is null then d.leased_at + (t.timeout_ms + 5000) * interval '1 ms'
      else least(d.complete_by, d.leased_at + t.timeout_ms * interval '1 ms', t.cancel_requested_at) end as over_at
  from due d, unnest(d.task_ids) as u(id),
    lateral ( -- one look at the primary key for each, whatever the statistics say of running tasks
      select t.id, t.attempt, t.kind, t.timeout_ms, t.cancel_requested_at from scheduler.tasks t
      where t.id = u.id and t.queue = d.queue and t.worker_id = d.worker_id and t.state = 'running' and t.started_at = d.leased_at
        and (t.timeout_ms is not null or d.endpoint is not null) offset 0) t
), ended as (
  delete from scheduler.leases l using due d
  where l.worker_id = d.worker_id and l.id = d.id and d.endpoint is not null and d.id not in (select r.lease_id from runs r)
), moved as (
  update scheduler.leases l
  set timeout_at = (select min(case when r.over_at <= now() then now() + interval '30 s' else r.over_at end) from runs r where r.lease_id = l.id)
  from due d
  where l.worker_id = d.worker_id and l.id = d.id and (d.endpoint is null or d.id in (select r.lease_id from runs r))
)
select r.id, r.queue, r.worker_id, r.attempt, r.kind, r.timeout_ms, coalesce(r.endpoint, '') as endpoint, r.complete_within_ms, r.cancelled,
  (extract(epoch from now() - r.leased_at) * 1000)::bigint as ran_ms
from runs r where r.over_at <= now()
