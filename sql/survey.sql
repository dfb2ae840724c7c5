-- survey: what all processes together look like, for metrics. Rows: 1; a lag of 0: nothing is late. Locks: none.
-- Each part reads an index entry or a small table, however many tasks there are.
select clock_timestamp() as clock, pg_notification_queue_usage() as notification_queue,
  (select coalesce(max(extract(epoch from now() - a.xact_start)), 0)::float8 from pg_stat_activity a
    where a.backend_xmin is not null and a.pid <> pg_backend_pid()) as oldest_snapshot_s,
  (select count(*) from scheduler.workers w where w.seen_at + w.ttl_ms * interval '1 ms' >= now()) as live_workers,
  (select count(*) from scheduler.workers w where w.seen_at + w.ttl_ms * interval '1 ms' < now()) as dead_workers,
  (select coalesce(sum(w.slots), 0)::bigint from scheduler.workers w where w.seen_at + w.ttl_ms * interval '1 ms' >= now()) as slots,
  (select coalesce((extract(epoch from now() - min(t.run_at)) * 1000)::bigint, 0) from scheduler.tasks t
    where t.waiting and t.run_at <= now()) as promotion_late_ms,
  (select coalesce((extract(epoch from now() - min(s.next_run_at)) * 1000)::bigint, 0) from scheduler.schedules s
    where s.paused_at is null and s.error is null and s.next_run_at <= now()) as schedule_late_ms,
  (select count(*) from scheduler.schedules s where s.error is not null) as broken_schedules,
  (select coalesce(n_dead_tup, 0) from pg_stat_user_tables where schemaname = 'scheduler' and relname = 'tasks') as dead_rows
