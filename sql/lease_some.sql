-- lease_some: as lease.sql, and stops before the tasks' payloads and checkpoints are more than $8 bytes of JSON text; the first is taken
-- however large it is. $1 to $7 as there. Rows: as there; what was left is announced, for others may have passed it by meanwhile.
-- Locks: as there, and for as long tasks that are left. Hot: positional.
with picked as materialized (
  select c.ctid as place, c.priority, c.run_at, c.id, octet_length(c.payload::text) + coalesce(octet_length(c.checkpoint::text), 0) as size
  from scheduler.tasks c
  where c.queue = $2::text and c.ready and (c.priority, c.run_at, c.id) >= ($5::smallint, $6::timestamptz, $7::uuid)
    and c.kind = any ($4::text[]) and (c.expires_at is null or c.expires_at > now())
    and exists (select from scheduler.workers w where w.id = $1::uuid)
    and not exists (select from scheduler.queues q where q.name = $2::text and q.paused_at is not null)
  order by c.priority, c.run_at, c.id
  limit $3::integer
  for update skip locked
), summed as materialized (
  select p.place, sum(p.size) over turn as upto, row_number() over turn as number
  from picked p
  window turn as (order by p.priority, p.run_at, p.id rows unbounded preceding)
), leased as (
  update scheduler.tasks t
  set state = 'running', attempt = t.attempt + 1, worker_id = $1::uuid, started_at = now(), revision = t.revision + 1
  where t.queue = $2::text and t.ctid = any (array(select s.place from summed s where s.upto <= $8::bigint or s.number = 1))
  returning t.id, t.kind, t.payload, t.attempt, t.failures, t.max_attempts, t.priority, t.timeout_ms, t.run_at, t.created_at,
    t.schedule, t.tick_at, t.trace, t.checkpoint, t.topic, t.message_id
), lease as (
  insert into scheduler.leases (worker_id, queue, task_ids)
  select $1::uuid, $2::text, array_agg(l.id) from leased l having count(*) > 0
  returning id
), hint as (
  select pg_notify('scheduler_ready', $2::text) where exists (select from summed s where s.upto > $8::bigint and s.number > 1)
)
select (select id from lease) as lease_id, l.* from leased l left join hint on true
