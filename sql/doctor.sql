-- doctor: what a person wants to know of the database first. Rows: 1. Locks: none.
select current_setting('server_version') as server_version, current_setting('server_version_num')::integer as server_version_num,
  current_database() as database, current_user as username, clock_timestamp() as clock,
  pg_is_in_recovery() as standby, current_setting('synchronous_commit') as synchronous_commit, current_setting('fsync') as fsync,
  pg_notification_queue_usage() as notification_queue,
  (select coalesce(max(extract(epoch from now() - a.xact_start)), 0)::float8 from pg_stat_activity a
    where a.backend_xmin is not null and a.pid <> pg_backend_pid()) as oldest_snapshot_s,
  (select coalesce(max(age(a.backend_xmin)), 0) from pg_stat_activity a where a.pid <> pg_backend_pid()) as oldest_snapshot_xids,
  (select count(*) from scheduler.workers w where w.seen_at + w.ttl_ms * interval '1 ms' >= now()) as live_workers,
  (select count(*) from scheduler.workers w where w.seen_at + w.ttl_ms * interval '1 ms' < now()) as dead_workers,
  (select count(*) from scheduler.tasks t
    left join scheduler.workers w on w.id = t.worker_id
    where t.id = any (array(select unnest(l.task_ids) from scheduler.leases l where l.endpoint is null)) and t.state = 'running' -- an array: a join would scan the table
      and (w.id is null or w.seen_at + w.ttl_ms * interval '1 ms' < now())) as stuck_leases,
  (select coalesce((extract(epoch from now() - min(t.run_at)) * 1000)::bigint, 0) from scheduler.tasks t
    where t.waiting and t.run_at <= now()) as promotion_late_ms,
  (select coalesce(n_dead_tup, 0) from pg_stat_user_tables where schemaname = 'scheduler' and relname = 'tasks') as dead_rows
