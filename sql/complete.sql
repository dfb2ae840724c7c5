-- complete: ends attempts of one worker and queue with their results.
-- $1 worker, $2 queue; arrays, sorted by id: $3 ids, $4 attempts, $5 results (JSON text, NULL: none).
-- Rows: the places in the arrays, from 1, of those that are completed now; one that is missing lost its lease. Locks: the tasks, by id. Hot: positional.
-- No join, which could be planned as a walk of all tasks: width_bucket finds an id's place in the sorted array.
update scheduler.tasks t
set state = 'completed', finished_at = now(), result = ($5::jsonb[])[width_bucket(t.id, $3::uuid[])],
    error_code = null, error = null, revision = t.revision + 1
where t.id = any ($3::uuid[]) and t.queue = $2::text and t.worker_id = $1::uuid and t.state = 'running'
  and t.attempt = ($4::integer[])[width_bucket(t.id, $3::uuid[])]
returning width_bucket(t.id, $3::uuid[]) as place
