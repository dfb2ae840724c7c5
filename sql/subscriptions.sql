-- subscriptions: a page by name. @name: NULL: all. @topic: only those that match it; NULL: all. @after: names after this one; NULL: from
-- the first. @limit. Rows: by name. Locks: none.
select s.name, s.pattern, s.kind, s.queue, s.priority, s.max_attempts, s.timeout_ms, s.backoff_ms, s.created_at, s.updated_at
from scheduler.subscriptions s
where (@name::text is null or s.name = @name) and (@after::text is null or s.name > @after)
  and (@topic::text is null or s.name in (select f.name from scheduler.subscriptions_for(@topic) f))
order by s.name
limit @limit
