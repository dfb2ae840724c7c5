-- schedules: @name: NULL: all. Rows: by name. Locks: none.
select s.name, s.expression, s.zone, s.kind, s.payload, s.queue, s.priority, s.max_attempts, s.timeout_ms, s.backoff_ms, s.paused_at,
  s.next_run_at, s.last_run_at, s.error, s.created_at, s.updated_at
from scheduler.schedules s
where @name::text is null or s.name = @name
order by s.name
