-- reading: counters of the server and of this database. Rows: 1. Locks: none.
select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint as wal, d.xact_commit + d.xact_rollback as transactions
from pg_stat_database d where d.datname = current_database()
