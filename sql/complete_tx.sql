-- complete_tx: ends one attempt with its result, in its handler's own transaction; one look at the primary key, whatever plan the
-- handler's connection keeps. $1 worker, $2 queue, $3 id, $4 attempt, $5 result (JSON text, NULL: none).
-- Rows: 1: its id. 0: the lease is lost. Locks: the task. Hot: positional.
update scheduler.tasks t
set state = 'completed', finished_at = now(), result = $5::jsonb, error_code = null, error = null, revision = t.revision + 1
where t.id = $3::uuid and t.queue = $2::text and t.worker_id = $1::uuid and t.attempt = $4::integer and t.state = 'running'
returning t.id
