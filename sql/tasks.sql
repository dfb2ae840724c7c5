-- tasks: tasks by the primary key, newest first.
-- @queue, @kind, @state, @error_group: NULL: any. @text: in id (its beginning), kind, error, progress message or payload, NULL: any.
-- @before, @floor: only ids below and not below; all bits set and none: any. @limit.
-- Rows: up to @limit. Locks: none.
select t.id, t.queue, t.kind, t.state, t.priority, t.attempt, t.failures, t.crashes, t.max_attempts, t.run_at, t.created_at, t.started_at,
  t.finished_at, t.worker_id, w.name as worker, t.revision, t.payload, t.result, t.error_code, t.error,
  t.progress_current, t.progress_total, t.progress_message, t.progress_data, t.progress_at,
  t.timeout_ms, t.backoff_ms, t.expires_at, t.cancel_requested_at, t.unique_key, t.idempotency_key, t.schedule, t.tick_at, t.topic, t.message_id, t.tags, t.trace
from scheduler.tasks t
left join scheduler.workers w on w.id = t.worker_id
where true
  and t.id < @before and t.id >= @floor
  and (@queue::text is null or t.queue = @queue)
  and (@kind::text is null or t.kind = @kind)
  and (@state::text is null or t.state = @state::text::scheduler.task_state)
  and (@error_group::text is null or t.dead and scheduler.error_group(t.error_code, t.error) = @error_group)
  and (@text::text is null or starts_with(t.id::text, lower(@text)) or strpos(lower(t.kind), lower(@text)) > 0
    or strpos(lower(t.error), lower(@text)) > 0 or strpos(lower(t.progress_message), lower(@text)) > 0
    or strpos(lower(t.payload::text), lower(@text)) > 0)
order by t.id desc
limit @limit
