-- due: schedules to fire or to plan, and how long until the next one.
-- $1 limit. Rows: one a schedule that is due (tick_at) or has no next tick (tick_at NULL); always one with name NULL: next_ms until the next
-- is due, NULL: none. now: the database's clock. Locks: none: fire.sql decides.
(select s.name, s.expression, s.zone, s.next_run_at as tick_at, now() as now, null::bigint as next_ms
 from scheduler.schedules s
 where s.paused_at is null and s.error is null and (s.next_run_at <= now() or s.next_run_at is null)
 order by s.next_run_at nulls first limit $1::integer)
union all
select null, null, null, null, now(), (select greatest(0, ceil(extract(epoch from s.next_run_at - clock_timestamp()) * 1000))::bigint
  from scheduler.schedules s where s.paused_at is null and s.error is null and s.next_run_at > now() order by s.next_run_at limit 1)
