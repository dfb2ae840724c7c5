-- bulks: the newest bulks. @limit. Rows: up to @limit. Locks: none.
select b.id, b.verb, b.filter, b.reason, b.state, b.total, b.done, b.skipped, b.cursor, b.actor, b.created_at, b.updated_at, b.finished_at
from scheduler.bulk b
order by b.id desc
limit @limit
