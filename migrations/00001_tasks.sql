-- +goose Up
-- The table that everything is about, its life, and what is written beside it.

create type scheduler.task_state as enum
  ('blocked', 'scheduled', 'ready', 'running', 'completed', 'failed', 'cancelled');

comment on type scheduler.task_state is
  'blocked: waits for other tasks. scheduled: not due yet, or waits to retry. ready: may be leased now. running: leased by a live worker. '
  'completed, failed, cancelled: final; only an explicit retry brings failed and cancelled back.';

-- +goose StatementBegin
-- Time-ordered identifiers (RFC 9562, version 7): 48 bits of Unix milliseconds, then random bits.
create function scheduler.uuidv7() returns uuid
language sql volatile parallel safe
return encode(
  set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid())
      placing substring(int8send(floor(extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
      from 1 for 6),
    52, 1), 53, 1), 'hex')::uuid;
-- +goose StatementEnd

create table scheduler.tasks (
  id                  uuid primary key default scheduler.uuidv7(),
  queue               text not null default 'default',
  kind                text not null,
  state               scheduler.task_state not null default 'ready',
  priority            smallint not null default 0,
  attempt             integer not null default 0,
  failures            smallint not null default 0,
  crashes             smallint not null default 0,
  max_attempts        smallint not null default 10,
  ready               boolean not null generated always as (state = 'ready') stored,
  waiting             boolean not null generated always as (state = 'scheduled') stored,
  dead                boolean not null generated always as (state = 'failed') stored,
  run_at              timestamptz not null default now(),
  created_at          timestamptz not null default now(),
  started_at          timestamptz,
  finished_at         timestamptz,
  worker_id           uuid,
  revision            bigint not null default 1,
  payload             jsonb not null default '{}',
  result              jsonb,
  error_code          text,
  error               text,
  progress_current    bigint,
  progress_total      bigint,
  progress_message    text,
  progress_data       jsonb,
  progress_at         timestamptz,
  timeout_ms          bigint,
  backoff_ms          bigint[],
  expires_at          timestamptz,
  cancel_requested_at timestamptz,
  unique_key          text,
  active_key          text generated always as
                        (case when state in ('blocked', 'scheduled', 'ready', 'running') then unique_key end) stored,
  idempotency_key     text,
  fingerprint         bytea,
  schedule            text,
  tick_at             timestamptz,
  constraint tasks_running_has_worker check (state <> 'running' or worker_id is not null),
  constraint tasks_run_at_finite check (isfinite(run_at))
) with (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.05,
  autovacuum_vacuum_insert_scale_factor = 0.1
);

comment on table scheduler.tasks is 'One row a task, from submit to retention. Write through scheduler.submit(), cancel() and retry(); read as you like.';
comment on column scheduler.tasks.id is 'UUID version 7: sorting by id sorts by creation.';
comment on column scheduler.tasks.queue is 'The lane that workers take from.';
comment on column scheduler.tasks.kind is 'Names the handler. A kind that no worker runs stays ready.';
comment on column scheduler.tasks.state is 'Where the task is in its life; the one truth. See the type''s comment.';
comment on column scheduler.tasks.priority is 'Lower runs first, -32768 to 32767, within one queue.';
comment on column scheduler.tasks.attempt is 'Counts leases, and only grows: the fencing number of the present or last attempt. 0: never started.';
comment on column scheduler.tasks.failures is 'Attempts that failed since submit or the last retry; at max_attempts the task is failed.';
comment on column scheduler.tasks.crashes is 'Attempts whose worker was lost since submit or the last retry; at 3 the task is failed with worker_lost.';
comment on column scheduler.tasks.max_attempts is 'Failures allowed before the task is failed, 1 to 1000.';
comment on column scheduler.tasks.ready is 'state = ready; exists for the index that leases walk.';
comment on column scheduler.tasks.waiting is 'state = scheduled; exists for the index that promotion walks.';
comment on column scheduler.tasks.dead is 'state = failed; exists for the index of the dead letters.';
comment on column scheduler.tasks.run_at is 'Not started before this time; moved by retries and snoozes.';
comment on column scheduler.tasks.created_at is 'Time of the submit.';
comment on column scheduler.tasks.started_at is 'Start of the present or last attempt. NULL: never started.';
comment on column scheduler.tasks.finished_at is 'Time of the final state. NULL: not final.';
comment on column scheduler.tasks.worker_id is 'Worker of the present attempt, or of the attempt that completed.';
comment on column scheduler.tasks.revision is 'Grows with each change of the row; the HTTP ETag.';
comment on column scheduler.tasks.payload is 'What the handler is given. Never rewritten.';
comment on column scheduler.tasks.result is 'What the handler returned. NULL unless completed.';
comment on column scheduler.tasks.error_code is 'Why the last attempt failed or the task was cancelled, as one word: error, panic, timeout, worker_lost, expired, cancelled, …';
comment on column scheduler.tasks.error is 'The same for people. Stacks are in scheduler.attempts.';
comment on column scheduler.tasks.progress_current is 'Units done, as reported. NULL: nothing reported.';
comment on column scheduler.tasks.progress_total is 'Units in all. NULL or 0: unknown.';
comment on column scheduler.tasks.progress_message is 'The last message reported.';
comment on column scheduler.tasks.progress_data is 'Whatever else the handler reported.';
comment on column scheduler.tasks.progress_at is 'Time of the last report.';
comment on column scheduler.tasks.timeout_ms is 'Longest run of one attempt in milliseconds. NULL: no limit.';
comment on column scheduler.tasks.backoff_ms is 'Milliseconds to wait after the first, second, … failure; the last repeats. NULL: exponential with full jitter, 1 s doubling to 1 h.';
comment on column scheduler.tasks.expires_at is 'No attempt starts after this time; a task still waiting then is cancelled with error_code expired. NULL: never.';
comment on column scheduler.tasks.cancel_requested_at is 'When somebody asked to cancel. A running task ends cancelled unless it completes first.';
comment on column scheduler.tasks.unique_key is 'At most one task of a queue that is not final holds a key.';
comment on column scheduler.tasks.active_key is 'unique_key while the task is not final; exists for the unique index.';
comment on column scheduler.tasks.idempotency_key is 'At most one task of a queue was ever made with a key, for as long as the row is kept.';
comment on column scheduler.tasks.fingerprint is 'SHA-256 of the request that came with idempotency_key; another request under the key is refused.';
comment on column scheduler.tasks.schedule is 'Name of the schedule that made the task. NULL: submitted.';
comment on column scheduler.tasks.tick_at is 'The tick of the schedule that the task stands for.';

-- No index may hold a column that completion writes, or completions stop being heap-only updates.
create index tasks_ready on scheduler.tasks (queue, priority, run_at, id) where ready;
create index tasks_waiting on scheduler.tasks (run_at) where waiting;
create index tasks_dead on scheduler.tasks (queue, id) where dead;
create index tasks_expiring on scheduler.tasks (expires_at) where (ready or waiting) and expires_at is not null;
create unique index tasks_active_key on scheduler.tasks (queue, active_key) where active_key is not null;
create unique index tasks_idempotency_key on scheduler.tasks (queue, idempotency_key) where idempotency_key is not null;

-- +goose StatementBegin
-- Every edge of a task's life; scheduler/state.go holds the same table with its verbs, and a test compares all pairs.
create function scheduler.may_become(old scheduler.task_state, new scheduler.task_state) returns boolean
language sql immutable parallel safe
return case old
  when 'blocked'   then new in ('blocked', 'scheduled', 'ready', 'cancelled')
  when 'scheduled' then new in ('scheduled', 'ready', 'cancelled')
  when 'ready'     then new in ('ready', 'scheduled', 'running', 'cancelled')
  when 'running'   then new in ('running', 'completed', 'failed', 'scheduled', 'ready', 'cancelled')
  when 'completed' then new = 'completed'
  when 'failed'    then new in ('failed', 'ready')
  when 'cancelled' then new in ('cancelled', 'ready')
end;
-- +goose StatementEnd

-- +goose StatementBegin
create function scheduler.refuse_transition() returns trigger
language plpgsql as $$
begin
  raise exception 'task % cannot go from % to %', old.id, old.state, new.state
    using errcode = 'check_violation', constraint = 'tasks_transition', schema = 'scheduler', table = 'tasks',
          hint = 'The edges of a task''s life are listed in scheduler.may_become().';
end $$;
-- +goose StatementEnd

-- After, not before: an after trigger whose condition is false takes no lock, writes nothing and is never queued.
create trigger tasks_transition after update of state on scheduler.tasks
  for each row when (not scheduler.may_become(old.state, new.state))
  execute function scheduler.refuse_transition();

create table scheduler.attempts (
  task_id    uuid not null,
  attempt    integer not null,
  queue      text not null,
  kind       text not null,
  outcome    text not null check (outcome in ('failed', 'snoozed', 'released', 'crashed', 'cancelled')),
  worker_id  uuid not null,
  worker     text,
  started_at timestamptz not null,
  ended_at   timestamptz not null default now(),
  error_code text,
  error      text,
  stack      text,
  primary key (task_id, attempt)
);
comment on table scheduler.attempts is 'Attempts that ended without completing their task, one row each; kept when the task is retried.';
comment on column scheduler.attempts.outcome is
  'failed: the handler erred, panicked or timed out. snoozed: it asked to run later. released: handed back at shutdown. crashed: its worker was lost. cancelled: stopped on request.';
comment on column scheduler.attempts.worker is 'Name of the worker, host:pid unless it chose another.';
comment on column scheduler.attempts.ended_at is 'For crashed: when the loss was noticed.';
comment on column scheduler.attempts.stack is 'Stack of a panic, or what the handler attached.';

create table scheduler.task_logs (
  task_id uuid not null,
  id      bigint generated always as identity,
  queue   text not null,
  attempt integer not null,
  at      timestamptz not null default now(),
  stream  text not null default 'log' check (stream in ('log', 'stdout', 'stderr')),
  message text not null,
  primary key (task_id, id)
) with (autovacuum_vacuum_insert_scale_factor = 0.1);
comment on table scheduler.task_logs is 'Lines that handlers wrote, in order of id within a task.';

-- +goose Down
drop table scheduler.task_logs;
drop table scheduler.attempts;
drop table scheduler.tasks;
drop function scheduler.refuse_transition();
drop function scheduler.may_become(scheduler.task_state, scheduler.task_state);
drop function scheduler.uuidv7();
drop type scheduler.task_state;
