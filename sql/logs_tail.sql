-- logs_tail: the last lines of a task, in order. @id, @after: only lines with a greater id, @limit. Rows: the lines. Locks: none.
select id, attempt, at, stream, message
from (select l.id, l.attempt, l.at, l.stream, l.message from scheduler.task_logs l
  where l.task_id = @id and l.id > @after
  order by l.id desc
  limit @limit) l
order by id
