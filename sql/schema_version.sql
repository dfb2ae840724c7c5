-- schema_version: the newest migration applied. Rows: 1; an error 42P01 or 3F000 when the schema is not there. Locks: none.
select coalesce(max(g.version_id), 0) as version from scheduler.goose_db_version g where g.is_applied
