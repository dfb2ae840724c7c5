-- bulk_next: whether a bulk waits for somebody to go on with it.
-- Rows: 1. Locks: none.
select exists (select from scheduler.bulk b where b.state = 'running') as waits
