-- audit: what was done, newest first. @before: only rows with a lower id. @limit. Rows: up to @limit. Locks: none.
select a.id, a.at, a.actor, a.verb, a.task_id, a.target, a.detail
from scheduler.audit a
where a.id < @before
order by a.id desc
limit @limit
