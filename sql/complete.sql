-- complete: ends attempts of one worker and queue with their results.
-- $1 worker, $2 queue; arrays, sorted by id: $3 ids, $4 attempts, $5 results (JSON text, NULL: none).
-- Rows: the ids and attempts that are completed now; one that is missing lost its lease. Locks: the tasks, in the order given. Hot: positional.
update scheduler.tasks t
set state = 'completed', finished_at = now(), result = d.result, error_code = null, error = null, revision = t.revision + 1
from unnest($3::uuid[], $4::integer[], $5::jsonb[]) as d(id, attempt, result)
where t.id = d.id and t.queue = $2::text and t.worker_id = $1::uuid and t.attempt = d.attempt and t.state = 'running'
returning t.id, t.attempt
