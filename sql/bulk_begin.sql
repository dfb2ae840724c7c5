-- bulk_begin: notes that something is to be done to all tasks that a filter matches. @id, @verb, @filter (JSON text), @reason of a cancel or NULL,
-- @total or NULL: not counted. @actor, NULL: the database's role. Rows: 1. Locks: none. Leaves an audit row.
with begun as (
  insert into scheduler.bulk (id, verb, filter, reason, total, actor)
  values (@id, @verb, @filter::jsonb, @reason, @total, coalesce(@actor::text, session_user))
  returning *
), audit as (
  insert into scheduler.audit (actor, verb, target, detail)
  select b.actor, 'bulk_' || b.verb, b.id::text, b.filter from begun b
)
select b.id, b.verb, b.filter, b.reason, b.state, b.total, b.done, b.skipped, b.cursor, b.actor, b.created_at, b.updated_at, b.finished_at
from begun b
