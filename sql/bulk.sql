-- bulk: one bulk, @id. Rows: 1, or 0: no such bulk. Locks: none.
select b.id, b.verb, b.filter, b.reason, b.state, b.total, b.done, b.skipped, b.cursor, b.actor, b.created_at, b.updated_at, b.finished_at
from scheduler.bulk b
where b.id = @id
