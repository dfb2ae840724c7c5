-- fill: tasks as they would be after a long life, made in place. $1 queue, $2 kind, $3 state, $4 first and $5 last number,
-- $6 hex digit that keeps ids of different fills apart, $7 seconds from now until the first is due, $8 payload, $9 worker of those that are completed.
-- Rows: none. Locks: none.
insert into scheduler.tasks (id, queue, kind, state, run_at, started_at, finished_at, attempt, worker_id, payload)
select (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || $6::text || '008000' || lpad(to_hex(n), 12, '0'))::uuid,
  $1::text, $2::text, $3::scheduler.task_state, now() + $7::double precision * interval '1 s' + n * interval '1 us',
  d.at, d.at, case when d.at is null then 0 else 1 end, case when d.at is not null then $9::uuid end, $8::jsonb
from generate_series($4::bigint, $5::bigint) n, (select case when $3::text = 'completed' then now() end as at) d
