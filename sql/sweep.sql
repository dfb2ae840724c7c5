-- sweep: drops lease rows of a remote worker in which it runs nothing any more, and finds what it runs without knowing, since the answer
-- to the lease was lost. $1 worker; the leases that it knows: $2 ids, sorted, $3 attempts; NULL: it does not say, and has no strays;
-- $4 spares what was leased less than so many ms ago. Rows: the strays. Locks: lease rows. Hot: positional.
with old as materialized (
  select l.id, l.queue, l.task_ids from scheduler.leases l
  where l.worker_id = $1::uuid and l.endpoint is null and l.leased_at <= now() - $4::bigint * interval '1 ms'
), runs as materialized (
  select o.id as lease_id, t.id, o.queue, t.attempt, t.started_at
  from old o, unnest(o.task_ids) as u(id),
    lateral ( -- one look at the primary key for each, whatever the statistics say of running tasks
      select t.id, t.attempt, t.started_at from scheduler.tasks t
      where t.id = u.id and t.queue = o.queue and t.worker_id = $1::uuid and t.state = 'running' offset 0) t
), dropped as (
  delete from scheduler.leases l
  where l.worker_id = $1::uuid and l.id = any (array(select o.id from old o where o.id not in (select r.lease_id from runs r)))
)
select distinct r.queue, r.id, r.attempt
from runs r, lateral (select width_bucket(r.id, $2::uuid[]) as place) p
where $2::uuid[] is not null and r.started_at <= now() - $4::bigint * interval '1 ms'
  and (($2::uuid[])[p.place] is distinct from r.id or ($3::integer[])[p.place] is distinct from r.attempt)
