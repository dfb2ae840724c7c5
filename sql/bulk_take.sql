-- bulk_take: takes a bulk to do one chunk of it. @id: that one, NULL: the one that had to wait longest.
-- Rows: 1, or 0: there is none that nobody else has. Locks: the bulk, skipping those locked.
select b.id, b.verb, b.filter, b.reason, b.state, b.total, b.done, b.skipped, b.cursor, b.actor, b.created_at, b.updated_at, b.finished_at
from scheduler.bulk b
where b.state = 'running' and (@id::uuid is null or b.id = @id)
order by b.updated_at
limit 1
for update skip locked
