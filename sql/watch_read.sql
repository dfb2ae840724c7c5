-- watch_read: tasks that somebody watches. @ids. Rows: one a task that is there. Locks: none.
select t.id, t.queue, t.kind, t.state, t.priority, t.attempt, t.failures, t.crashes, t.max_attempts, t.run_at, t.created_at, t.started_at,
  t.finished_at, t.worker_id, w.name as worker, t.revision, t.payload, t.result, t.error_code, t.error,
  t.progress_current, t.progress_total, t.progress_message, t.progress_data, t.progress_at,
  t.timeout_ms, t.backoff_ms, t.expires_at, t.cancel_requested_at, t.unique_key, t.idempotency_key, t.schedule, t.tick_at, t.topic, t.message_id, t.tags, t.trace
from scheduler.tasks t
left join scheduler.workers w on w.id = t.worker_id
where t.id = any (@ids::uuid[])
