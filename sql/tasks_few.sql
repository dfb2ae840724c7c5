-- tasks_few: whether so few tasks are in a state that has an index of its own that a list may look at all of them.
-- @state: ready, scheduled or failed. @queue: NULL: of any. @scan: how many that is at most. Rows: 1. Locks: none.
select count(*) <= @scan as few
from (
  (select from scheduler.tasks t where t.ready and @state::text = 'ready' and (@queue::text is null or t.queue = @queue) limit @scan + 1)
  union all
  (select from scheduler.tasks t where t.waiting and @state::text = 'scheduled' and (@queue::text is null or t.queue = @queue) limit @scan + 1)
  union all
  (select from scheduler.tasks t where t.dead and @state::text = 'failed' and (@queue::text is null or t.queue = @queue) limit @scan + 1)
) s
