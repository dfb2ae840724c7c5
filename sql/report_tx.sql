-- report_tx: writes the progress of one attempt, in its handler's own transaction or before what ends it; one look at the primary key,
-- whatever plan the handler's connection keeps. $1 worker, $2 queue, $3 id, $4 attempt, $5 current, $6 total, $7 message, $8 data (JSON text); NULL: unset.
-- Rows: 1: its id. 0: the lease is lost. Locks: the task. Hot: positional.
update scheduler.tasks t
set progress_current = $5::bigint, progress_total = $6::bigint, progress_message = $7::text, progress_data = $8::jsonb,
    progress_at = now(), revision = t.revision + 1
where t.id = $3::uuid and t.queue = $2::text and t.worker_id = $1::uuid and t.attempt = $4::integer and t.state = 'running'
returning t.id
