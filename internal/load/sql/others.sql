-- others: connections to this database besides this one. Rows: 1. Locks: none.
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
