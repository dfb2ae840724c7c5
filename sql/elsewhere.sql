-- elsewhere: which attempts that a worker holds were ended by somebody else, through their leases.
-- @worker; arrays: @ids, @queues, @attempts. Rows: the places in the arrays, from 1, of those that do not run any more. Locks: none.
select h.place::integer as place
from unnest(@ids::uuid[], @queues::text[], @attempts::integer[]) with ordinality h(id, queue, attempt, place)
where not exists ( -- one look at the primary key for each
  select from scheduler.tasks t
  where t.id = h.id and t.queue = h.queue and t.worker_id = @worker and t.attempt = h.attempt and t.state = 'running' offset 0)
