-- attempts: those of a task, oldest first; the present or completed one comes from the task itself.
-- @id. Rows: none: unknown, or never started. Locks: none.
select a.attempt, a.outcome, a.worker_id, a.worker, a.started_at, a.ended_at, a.error_code, a.error, a.stack
from scheduler.attempts a where a.task_id = @id
union all
select t.attempt, case when t.state = 'running' then 'running' else 'completed' end, t.worker_id, w.name, t.started_at, t.finished_at, null, null, null
from scheduler.tasks t
left join scheduler.workers w on w.id = t.worker_id
where t.id = @id and t.state in ('running', 'completed')
order by 1
