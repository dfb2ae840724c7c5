-- held: which leases still hold. Arrays: $1 queues, $2 ids, $3 attempts, $4 workers.
-- Rows: the places in the arrays, from 1, of those that do. Locks: none. Hot: positional.
select d.place::integer as place
from unnest($1::text[], $2::uuid[], $3::integer[], $4::uuid[]) with ordinality as d(queue, id, attempt, worker, place)
where exists (select from scheduler.tasks t where t.id = d.id and t.queue = d.queue and t.worker_id = d.worker and t.attempt = d.attempt
  and t.state = 'running' offset 0) -- looked up one by one, never joined
