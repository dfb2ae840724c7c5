-- +goose Up
-- What an endpoint has answered by 202 goes on without the process that delivered it: its lease stands by itself.

alter table scheduler.leases add column endpoint text, add column accepted_at timestamptz, add column complete_within_ms bigint;
create index leases_endpoint on scheduler.leases (endpoint) where endpoint is not null;
create index leases_accepted on scheduler.leases (worker_id) where endpoint is not null;
comment on column scheduler.leases.endpoint is
  'That accepted the task by 202. Such a row names one task, and no worker is needed for it: whoever has the lease token ends the attempt, or time_out does. NULL: worker_id runs the tasks.';
comment on column scheduler.leases.accepted_at is 'When it did. Within complete_within_ms of that it is to end the attempt.';
comment on column scheduler.leases.timeout_at is
  'When to look for attempts in it whose time is over, to end them: of an endpoint''s, or with a timeout_ms that is over by more than 5 s. NULL: the worker does that by itself, or none has a timeout.';

-- +goose StatementBegin
-- Tasks that an endpoint has in hand, of all processes: deliveries, and what it accepted and has not ended.
create function scheduler.in_flight(endpoint text) returns bigint
language sql stable as $$
  select coalesce((select sum(s.slots) from scheduler.endpoint_slots s join scheduler.workers w on w.id = s.worker_id where s.endpoint = in_flight.endpoint), 0)
    + (select count(*) from scheduler.leases l where l.endpoint = in_flight.endpoint and exists (
        select from scheduler.tasks t where t.id = l.task_ids[1] and t.queue = l.queue and t.worker_id = l.worker_id and t.state = 'running'
          and t.started_at = l.leased_at offset 0))
$$;
-- +goose StatementEnd
comment on function scheduler.in_flight is 'Tasks that an endpoint has in hand: deliveries, and what it accepted by 202 and has not ended.';

-- +goose StatementBegin
-- Tasks that a worker runs. One that sends heartbeats of its own says so with each; of others, and before the first, its leases are counted.
create function scheduler.running(worker uuid) returns integer
language sql stable as $$
  select case when w.remote or w.seen_at = w.started_at then (
      select count(*)::integer from scheduler.tasks t
      where t.id = any (array(select unnest(l.task_ids) from scheduler.leases l where l.worker_id = w.id and l.endpoint is null)) -- an array: a join would scan the table
        and t.worker_id = w.id and t.state = 'running')
    else w.running end
  from scheduler.workers w where w.id = running.worker
$$;
-- +goose StatementEnd
comment on function scheduler.running is 'Tasks that a worker runs: as it said with its last heartbeat, or by its leases when it works over HTTP.';

-- +goose StatementBegin
-- One statement, so that a cancel and a completion racing for the row have one winner. As before; what an endpoint accepted has no worker to be told.
create or replace function scheduler.cancel(id uuid, reason text default null)
returns table (id uuid, state scheduler.task_state, requested boolean)
language sql volatile as $$
  with cancelled as (
    update scheduler.tasks t
    set state = case when t.state = 'running' then t.state else 'cancelled' end,
        finished_at = case when t.state = 'running' then null else now() end,
        cancel_requested_at = coalesce(t.cancel_requested_at, now()),
        error_code = 'cancelled',
        error = coalesce(left(cancel.reason, 1000), 'cancelled on request'),
        revision = t.revision + 1
    where t.id = cancel.id and t.state in ('blocked', 'scheduled', 'ready', 'running')
    returning t.id, t.state, t.worker_id, t.queue, t.attempt
  ), request as (
    insert into scheduler.cancellations (task_id, worker_id, queue, attempt)
    select c.id, c.worker_id, c.queue, c.attempt from cancelled c where c.state = 'running'
    on conflict (task_id) do update
      set worker_id = excluded.worker_id, attempt = excluded.attempt, requested_at = excluded.requested_at
  )
  select c.id, c.state, c.state = 'running'
  from cancelled c,
    lateral (select case when c.state = 'running' then pg_notify('scheduler_control', c.worker_id::text) end) n,
    lateral (select case when exists (select from scheduler.leases l where c.state = 'running' and l.worker_id = c.worker_id
      and l.endpoint is not null and c.id = any (l.task_ids)) then pg_notify('scheduler_due', '0') end) d -- for time_out
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
-- One statement, so that a cancel and a completion racing for the row have one winner.
create or replace function scheduler.cancel(id uuid, reason text default null)
returns table (id uuid, state scheduler.task_state, requested boolean)
language sql volatile as $$
  with cancelled as (
    update scheduler.tasks t
    set state = case when t.state = 'running' then t.state else 'cancelled' end,
        finished_at = case when t.state = 'running' then null else now() end,
        cancel_requested_at = coalesce(t.cancel_requested_at, now()),
        error_code = 'cancelled',
        error = coalesce(left(cancel.reason, 1000), 'cancelled on request'),
        revision = t.revision + 1
    where t.id = cancel.id and t.state in ('blocked', 'scheduled', 'ready', 'running')
    returning t.id, t.state, t.worker_id, t.queue, t.attempt
  ), request as (
    insert into scheduler.cancellations (task_id, worker_id, queue, attempt)
    select c.id, c.worker_id, c.queue, c.attempt from cancelled c where c.state = 'running'
    on conflict (task_id) do update
      set worker_id = excluded.worker_id, attempt = excluded.attempt, requested_at = excluded.requested_at
  )
  select c.id, c.state, c.state = 'running'
  from cancelled c,
    lateral (select case when c.state = 'running' then pg_notify('scheduler_control', c.worker_id::text) end) n
$$;
-- +goose StatementEnd

drop function scheduler.running(uuid);
drop function scheduler.in_flight(text);
drop index scheduler.leases_accepted;
drop index scheduler.leases_endpoint;
alter table scheduler.leases drop column complete_within_ms, drop column accepted_at, drop column endpoint;
comment on column scheduler.leases.timeout_at is
  'When to look for tasks in it whose timeout_ms is over by more than 5 s, to end their attempts. NULL: the worker does that by itself, or none has a timeout.';
