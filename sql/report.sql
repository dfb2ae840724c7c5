-- report: writes the progress of running tasks of one worker and queue; touches no indexed column.
-- $1 worker, $2 queue; arrays sorted by id: $3 ids, $4 attempts, $5 current, $6 total, $7 messages, $8 data (JSON text); NULL: unset.
-- Rows: one an element: written; held: the lease is not lost (held and not written: somebody has the row locked, try later).
-- Locks: the tasks, in the order given, skipping those locked: the handler's own transaction may hold its row. Hot: positional.
with d as (
  select * from unnest($3::uuid[], $4::integer[], $5::bigint[], $6::bigint[], $7::text[], $8::jsonb[])
    as d(id, attempt, current, total, message, data)
), locked as (
  select t.id
  from d join scheduler.tasks t on t.id = d.id and t.queue = $2::text and t.worker_id = $1::uuid and t.attempt = d.attempt and t.state = 'running'
  for no key update of t skip locked
), written as (
  update scheduler.tasks t
  set progress_current = d.current, progress_total = d.total, progress_message = d.message, progress_data = d.data,
      progress_at = now(), revision = t.revision + 1
  from locked l join d on d.id = l.id
  where t.id = l.id and t.queue = $2::text and t.worker_id = $1::uuid and t.attempt = d.attempt and t.state = 'running'
  returning t.id
)
select d.id, w.id is not null as written,
  w.id is not null or exists (select from scheduler.tasks t where t.id = d.id and t.queue = $2::text and t.worker_id = $1::uuid
    and t.attempt = d.attempt and t.state = 'running') as held
from d left join written w on w.id = d.id
