-- checkpoint: stores what an attempt goes on from. $1 worker, $2 queue, $3 id, $4 attempt, $5 checkpoint (JSON text, NULL: forget it).
-- Rows: 1: its id. 0: the lease is lost. Locks: the task. Hot: positional. Touches no indexed column, and no revision: nobody watches it.
update scheduler.tasks t
set checkpoint = $5::jsonb
where t.id = $3::uuid and t.queue = $2::text and t.worker_id = $1::uuid and t.attempt = $4::integer and t.state = 'running'
returning t.id
