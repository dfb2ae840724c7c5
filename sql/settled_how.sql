-- settled_how: how attempts were ended by their own workers; asked when a lease was used up. Arrays: $1 queues, $2 ids, $3 attempts, $4 workers.
-- Rows: one for each that was: its place in the arrays, from 1; the outcome: completed, or as in scheduler.attempts; what the task became,
-- ready when it has gone on since. Locks: none. Hot: positional.
select d.place::integer as place, coalesce(a.outcome, 'completed') as outcome,
  case when t.attempt = d.attempt and t.state <> 'running' then t.state else 'ready' end as state
from unnest($1::text[], $2::uuid[], $3::integer[], $4::uuid[]) with ordinality as d(queue, id, attempt, worker, place),
  lateral (select t.state, t.attempt, t.worker_id from scheduler.tasks t where t.id = d.id and t.queue = d.queue offset 0) t
  left join lateral (select a.outcome from scheduler.attempts a
    where a.task_id = d.id and a.attempt = d.attempt and a.worker_id = d.worker and a.outcome <> 'crashed' offset 0) a on true
where a.outcome is not null or t.state = 'completed' and t.attempt = d.attempt and t.worker_id = d.worker
