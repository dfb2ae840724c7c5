-- submit_plain: inserts tasks of one queue that are ready now, have no keys, and leave all else at its default. Most are like that.
-- $1 queue; then arrays with one element a task: $2 ids, $3 kinds, $4 payloads (JSON text), $5 priorities.
-- Rows: 1: when they were created. Locks: none. Hot: positional.
-- The columns and keys that submit.sql minds, "on conflict" above all, cost a third of the insert and 48 bytes of WAL a task.
with made as (
  insert into scheduler.tasks (id, queue, kind, payload, priority)
  select r.id, $1::text, r.kind, r.payload, r.priority
  from unnest($2::uuid[], $3::text[], $4::jsonb[], $5::smallint[]) as r(id, kind, payload, priority)
)
select now() as created_at
