-- audit_task: what was done to a task, newest first. @task. @before: only rows with a lower id. @limit. Rows: up to @limit. Locks: none.
select a.id, a.at, a.actor, a.verb, a.task_id, a.target, a.detail
from scheduler.audit a
where a.task_id = @task and a.id < @before
order by a.id desc
limit @limit
