-- endpoint_turn: tells what came of a worker's deliveries and asks for more; with endpoint_lock before it in the same transaction.
-- @name, @worker; @busy deliveries that it has, @more that it would begin, @unused of those it was allowed before; of @generation: whether one
-- @succeeded, @failures since, @last_error (NULL: none), or one ended @undecided. Rows: 1: how many it may begin, if none: retry_ms until it is worth asking (0: when
-- woken), the breaker's generation and state now. 0: no such endpoint. Locks: the endpoint, slots, lease rows. No limit is exceeded: one writer at a time.
with gone as (
  delete from scheduler.endpoint_slots s
  where s.endpoint = @name and s.worker_id <> @worker and not exists (select from scheduler.workers w where w.id = s.worker_id)
), mine as materialized ( -- what it accepted by 202
  select l.worker_id, l.id, exists (select from scheduler.tasks t where t.id = l.task_ids[1] and t.queue = l.queue and t.worker_id = l.worker_id
    and t.state = 'running' and t.started_at = l.leased_at offset 0) as runs
  from scheduler.leases l where l.endpoint = @name
), ended as (
  delete from scheduler.leases l using mine m where not m.runs and l.worker_id = m.worker_id and l.id = m.id
), seen as (
  select e.*, clock_timestamp() as at, e.generation = @generation::bigint as fresh,
    coalesce((select sum(s.slots) from scheduler.endpoint_slots s where s.endpoint = e.name and s.worker_id <> @worker
      and exists (select from scheduler.workers w where w.id = s.worker_id)), 0)::integer as others,
    (select count(*)::integer from mine m where m.runs) as accepted,
    e.state = 'half_open' and (not exists (select from scheduler.workers w where w.id = e.probe_worker)
      or e.probe_worker = @worker and (@busy::integer = 0 or @unused::integer > 0 or @undecided::boolean and e.generation = @generation)) as probe_gone -- without an outcome
  from scheduler.endpoints e where e.name = @name
), told as (
  select s.*,
    case when not s.fresh then s.failures when @succeeded::boolean then @failures::integer else least(s.failures + @failures::integer, 1000000) end as failed,
    case when s.fresh and s.state = 'half_open' and @failures > 0 then 'open'
         when s.fresh and s.state = 'half_open' and @succeeded then 'closed'
         when s.fresh and s.state = 'closed' and @failures > 0 and case when @succeeded then 0 else s.failures end + @failures >= s.breaker_failures then 'open'
         when s.probe_gone then 'due'
         when s.state = 'open' and s.probe_at <= s.at then 'due'
         else s.state end as heard
  from seen s
), allowed as (
  select t.*,
    case when t.rate is null then t.tokens else least(greatest(1, t.rate / 10), t.tokens + @unused::integer
      + t.rate * greatest(0, extract(epoch from t.at - t.tokens_at)::double precision)) end as saved,
    case when t.paused_at is not null or t.heard not in ('closed', 'due') then 0
         else greatest(0, least(@more::integer, t.concurrency - t.others - t.accepted - @busy, case when t.heard = 'due' then 1 end)) end as fit
  from told t
), granted as (
  select a.*, least(a.fit, case when a.rate is not null then floor(a.saved + 0.000001) end)::integer as n from allowed a
), decided as (
  select g.*, case when g.heard <> 'due' then g.heard when g.n > 0 then 'half_open' else 'open' end as next from granted g
), slots as (
  insert into scheduler.endpoint_slots as s (endpoint, worker_id, slots) select d.name, @worker, @busy + d.n from decided d
  where exists (select from scheduler.workers w where w.id = @worker) -- else it has ended, and tells the last of it
  on conflict (endpoint, worker_id) do update set slots = excluded.slots
)
update scheduler.endpoints e
set state = d.next, failures = d.failed, generation = e.generation + case when d.next <> e.state or d.probe_gone then 1 else 0 end,
    opened_at = case when d.next <> 'closed' then coalesce(e.opened_at, d.at) end,
    probe_at = case when d.next = 'closed' then null
                    when d.heard = 'open' and e.state <> 'open' then d.at + e.breaker_pause_ms * interval '1 ms'
                    when d.probe_gone then d.at else e.probe_at end,
    probe_worker = case when d.next = 'half_open' then case when d.heard = 'due' then @worker else e.probe_worker end end,
    tokens = case when e.rate is null then e.tokens else d.saved - d.n end,
    tokens_at = case when e.rate is null then e.tokens_at else greatest(e.tokens_at, d.at) end,
    last_success_at = case when @succeeded then d.at else e.last_success_at end,
    last_error = coalesce(@last_error::text, e.last_error),
    last_error_at = case when @last_error is null then e.last_error_at else d.at end
from decided d
where e.name = d.name
returning d.n as granted, e.generation, e.state,
  case when d.n > 0 or @more = 0 or d.paused_at is not null then 0
       when d.heard = 'open' then greatest(1, ceil(extract(epoch from e.probe_at - d.at) * 1000))
       when d.heard = 'half_open' then 250
       when d.fit = 0 then case when d.accepted > 0 then 250 else 500 end
       else greatest(1, ceil((1 - d.saved) / d.rate * 1000)) end::bigint as retry_ms
