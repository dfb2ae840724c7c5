-- attempts_recent: attempts that ended without completing their task, last ended first. @limit. Rows: up to @limit. Locks: none.
select task_id, queue, kind, attempt, outcome, worker_id, worker, started_at, ended_at, error_code, error
from scheduler.attempts
order by ended_at desc, task_id, attempt desc
limit @limit
