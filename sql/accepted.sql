-- accepted: which attempts an endpoint accepted, and runs. Arrays: $1 queues, $2 ids, $3 attempts, $4 workers.
-- Rows: one each: its place in the arrays, from 1, when its time is over, and whether it is to be cancelled. Locks: none. Hot: positional.
select d.place::integer as place, least(l.accepted_at + l.complete_within_ms * interval '1 ms', t.started_at + t.timeout_ms * interval '1 ms') as expires_at,
  t.cancel_requested_at is not null as cancelled
from unnest($1::text[], $2::uuid[], $3::integer[], $4::uuid[]) with ordinality as d(queue, id, attempt, worker, place),
  lateral ( -- looked up one by one, never joined
    select t.id, t.worker_id, t.started_at, t.timeout_ms, t.cancel_requested_at from scheduler.tasks t
    where t.id = d.id and t.queue = d.queue and t.worker_id = d.worker and t.attempt = d.attempt and t.state = 'running' offset 0) t,
  lateral (
    select l.accepted_at, l.complete_within_ms from scheduler.leases l
    where l.worker_id = t.worker_id and l.endpoint is not null and t.id = any (l.task_ids) and l.leased_at = t.started_at limit 1) l
