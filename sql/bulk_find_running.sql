-- bulk_find_running: ids of running tasks, found through the lease rows, newest first.
-- @queue, @kind, @error_group: NULL: any. @states. @text: in id (its beginning), kind, error, progress message or payload, NULL: any.
-- @before, @floor: only ids below and not below; all bits set and none: any. @limit.
-- Rows: up to @limit. Locks: none.
select t.id
from scheduler.tasks t
where t.state = 'running' and t.id = any (array(select unnest(l.task_ids) from scheduler.leases l)) -- an array: a join would scan the table
  and t.id < @before and t.id >= @floor
  and (@queue::text is null or t.queue = @queue)
  and (@kind::text is null or t.kind = @kind)
  and t.state = any (@states::text[]::scheduler.task_state[])
  and (@error_group::text is null or t.dead and scheduler.error_group(t.error_code, t.error) = @error_group)
  and (@text::text is null or starts_with(t.id::text, lower(@text)) or strpos(lower(t.kind), lower(@text)) > 0
    or strpos(lower(t.error), lower(@text)) > 0 or strpos(lower(t.progress_message), lower(@text)) > 0
    or strpos(lower(t.payload::text), lower(@text)) > 0)
order by t.id desc
limit @limit
