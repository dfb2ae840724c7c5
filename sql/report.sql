-- report: writes the progress of running tasks of one worker and queue; touches no indexed column.
-- $1 worker, $2 queue; arrays sorted by id: $3 ids, $4 attempts, $5 current, $6 total, $7 messages, $8 data (JSON text); NULL: unset.
-- Rows: one an element: written; held: the lease is not lost (held and not written: somebody has the row locked, try later).
-- Locks: the tasks, by id, skipping those locked: the handler's own transaction may hold its row. Hot: positional.
-- No join with the tasks, which could be planned as a walk of all: width_bucket finds an id's place in the sorted array.
with written as (
  update scheduler.tasks t
  set progress_current = ($5::bigint[])[width_bucket(t.id, $3::uuid[])], progress_total = ($6::bigint[])[width_bucket(t.id, $3::uuid[])],
      progress_message = ($7::text[])[width_bucket(t.id, $3::uuid[])], progress_data = ($8::jsonb[])[width_bucket(t.id, $3::uuid[])],
      progress_at = now(), revision = t.revision + 1
  where t.queue = $2::text and t.worker_id = $1::uuid and t.state = 'running'
    and t.attempt = ($4::integer[])[width_bucket(t.id, $3::uuid[])]
    and t.id = any (array(
      select c.id from scheduler.tasks c
      where c.id = any ($3::uuid[]) and c.queue = $2::text and c.worker_id = $1::uuid and c.state = 'running'
        and c.attempt = ($4::integer[])[width_bucket(c.id, $3::uuid[])]
      for no key update skip locked))
  returning t.id
)
select w.id, true as written, true as held from written w
union all
select d.id, false, exists (select from scheduler.tasks t where t.id = d.id and t.queue = $2::text and t.worker_id = $1::uuid
    and t.attempt = d.attempt and t.state = 'running' offset 0)
from unnest($3::uuid[], $4::integer[]) as d(id, attempt)
where d.id <> all (array(select w.id from written w))
