-- elsewhere: which attempts that workers of a process hold were ended by somebody else, through their leases.
-- Arrays: @workers, @ids, @queues, @attempts. Rows: the places in the arrays, from 1, of those that do not run any more. Locks: none.
select h.place::integer as place
from unnest(@workers::uuid[], @ids::uuid[], @queues::text[], @attempts::integer[]) with ordinality h(worker, id, queue, attempt, place)
where not exists ( -- one look at the primary key for each
  select from scheduler.tasks t
  where t.id = h.id and t.queue = h.queue and t.worker_id = h.worker and t.attempt = h.attempt and t.state = 'running' offset 0)
