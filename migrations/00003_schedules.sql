-- +goose Up
-- Recurring tasks.

create table scheduler.schedules (
  name         text primary key,
  expression   text not null,
  zone         text not null default 'UTC',
  kind         text not null,
  payload      jsonb not null default '{}',
  queue        text not null default 'default',
  priority     smallint not null default 0,
  max_attempts smallint not null default 10,
  timeout_ms   bigint,
  backoff_ms   bigint[],
  paused_at    timestamptz,
  next_run_at  timestamptz check (isfinite(next_run_at)),
  last_run_at  timestamptz,
  error        text,
  created_at   timestamptz not null default now(),
  updated_at   timestamptz not null default now()
);
create index schedules_due on scheduler.schedules (next_run_at) where paused_at is null;
comment on table scheduler.schedules is 'Cron rows. Whichever process sees a due row first makes the task; nobody leads.';
comment on column scheduler.schedules.expression is 'Five cron fields, six with leading seconds, @hourly and the like, or @every 30s.';
comment on column scheduler.schedules.zone is 'IANA time zone in which the expression is read.';
comment on column scheduler.schedules.next_run_at is 'The next tick. NULL: any process works it out within seconds.';
comment on column scheduler.schedules.last_run_at is 'The last tick that made a task.';
comment on column scheduler.schedules.error is 'Why the expression cannot be used; such a row never fires until it is mended.';

create table scheduler.schedule_ticks (
  schedule text not null,
  tick_at  timestamptz not null,
  queue    text not null,
  task_id  uuid not null,
  fired_at timestamptz not null default now(),
  primary key (schedule, tick_at)
);
comment on table scheduler.schedule_ticks is 'Ticks that fired: the key makes a second task for one tick impossible, also after the task is deleted.';

-- +goose Down
drop table scheduler.schedule_ticks;
drop table scheduler.schedules;
