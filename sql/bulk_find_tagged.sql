-- bulk_find_tagged: ids of tasks that bear a tag, newest first. @tag.
-- @queue, @kind, @error_group: NULL: any. @states. @text: in id (its beginning), kind, error, progress message or payload, NULL: any.
-- @before, @floor: only ids below and not below; all bits set and none: any. @limit.
-- Rows: up to @limit. Locks: none.
select t.id
from scheduler.task_tags g
join scheduler.tasks t on t.id = g.task_id
where g.tag = @tag
  and g.task_id < @before and g.task_id >= @floor
  and (@queue::text is null or t.queue = @queue)
  and (@kind::text is null or t.kind = @kind)
  and t.state = any (@states::text[]::scheduler.task_state[])
  and (@error_group::text is null or t.dead and scheduler.error_group(t.error_code, t.error) = @error_group)
  and (@text::text is null or starts_with(t.id::text, lower(@text)) or strpos(lower(t.kind), lower(@text)) > 0
    or strpos(lower(t.error), lower(@text)) > 0 or strpos(lower(t.progress_message), lower(@text)) > 0
    or strpos(lower(t.payload::text), lower(@text)) > 0)
order by g.task_id desc
limit @limit
