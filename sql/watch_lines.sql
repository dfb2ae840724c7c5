-- watch_lines: lines that handlers wrote since they were last read, and of tasks that were not read before the newest ones.
-- Arrays: @ids, @after (id of the last line read, NULL: none was). @limit: lines a task at most.
-- Rows: task_id and its lines, in order within a task. Locks: none.
select s.task_id, l.id, l.attempt, l.at, l.stream, l.message
from unnest(@ids::uuid[], @after::bigint[]) as s(task_id, after)
cross join lateral (
  select * from (
    select n.id, n.attempt, n.at, n.stream, n.message from scheduler.task_logs n
    where s.after is null and n.task_id = s.task_id order by n.id desc limit @limit) newest
  union all
  select * from (
    select n.id, n.attempt, n.at, n.stream, n.message from scheduler.task_logs n
    where s.after is not null and n.task_id = s.task_id and n.id > s.after order by n.id limit @limit) further
) l
order by s.task_id, l.id
