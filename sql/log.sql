-- log: stores lines that handlers wrote, of one worker and queue, in order; lines of a lost lease are dropped.
-- $1 worker, $2 queue; arrays: $3 task ids, $4 attempts, $5 ages in ms, $6 streams, $7 messages. Rows: none. Locks: none. Hot: positional.
-- Tells those who watch.
with stored as (
  insert into scheduler.task_logs (task_id, queue, attempt, at, stream, message)
  select d.task_id, $2::text, d.attempt, now() - d.age_ms * interval '1 ms', d.stream, d.message
  from unnest($3::uuid[], $4::integer[], $5::bigint[], $6::text[], $7::text[]) with ordinality
    as d(task_id, attempt, age_ms, stream, message, n)
  where exists (select from scheduler.tasks t where t.id = d.task_id and t.queue = $2::text and t.worker_id = $1::uuid
    and t.attempt = d.attempt and t.state = 'running' offset 0) -- looked up one by one, never joined
  order by d.n
)
select pg_notify('scheduler_watch', d.task_id || ' lines')
from (select distinct task_id from unnest($3::uuid[]) as u(task_id)) d
where exists (select from scheduler.tasks t where t.id = d.task_id and t.watched_until > now() offset 0)
