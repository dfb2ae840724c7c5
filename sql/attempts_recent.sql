-- attempts_recent: attempts that ended without completing their task, last ended first: of the newest tasks that have any, and up to
-- three of each of @tasks. @tasks: ids. @limit: of the newest, and of all. Rows: up to @limit. Locks: none.
select task_id, queue, kind, attempt, outcome, worker_id, worker, started_at, ended_at, error_code, error
from (
  (select n.task_id, n.queue, n.kind, n.attempt, n.outcome, n.worker_id, n.worker, n.started_at, n.ended_at, n.error_code, n.error
    from scheduler.attempts n order by n.task_id desc, n.attempt desc limit @limit)
  union
  (select o.* from unnest(@tasks::uuid[]) as t(id)
    cross join lateral (
      select b.task_id, b.queue, b.kind, b.attempt, b.outcome, b.worker_id, b.worker, b.started_at, b.ended_at, b.error_code, b.error
      from scheduler.attempts b where b.task_id = t.id order by b.attempt desc limit 3) o)
) a
order by ended_at desc, task_id, attempt desc
limit @limit
