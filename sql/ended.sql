-- ended: what is counted of attempts that were ended in this transaction. Arrays: $1 queues, $2 ids.
-- Rows: one a task: its place in the arrays, from 1, its kind, and how long the attempt ran and had waited, in ms. Locks: none. Hot: positional.
select d.place::integer as place, t.kind, t.ran_ms, t.waited_ms
from unnest($1::text[], $2::uuid[]) with ordinality as d(queue, id, place),
  lateral (select t.kind, (extract(epoch from now() - t.started_at) * 1000)::bigint as ran_ms,
      (extract(epoch from t.started_at - t.run_at) * 1000)::bigint as waited_ms
    from scheduler.tasks t where t.id = d.id and t.queue = d.queue offset 0) t
