-- snapshot: takes this transaction's snapshot, or shows that it is still held: its oldest transaction. Rows: 1. Locks: none.
select a.backend_xmin::text from pg_stat_activity a where a.pid = pg_backend_pid()
