-- delete: removes a final task and what is written beside it. @id. Rows: 1: its id. 0: not final, or unknown.
-- Locks: the task, then side rows.
with gone as (
  delete from scheduler.tasks t where t.id = @id and t.state in ('completed', 'failed', 'cancelled') returning t.id
), attempts as (
  delete from scheduler.attempts a using gone g where a.task_id = g.id
), requests as (
  delete from scheduler.cancellations c using gone g where c.task_id = g.id
), logs as (
  delete from scheduler.task_logs l using gone g where l.task_id = g.id
)
select g.id from gone g
