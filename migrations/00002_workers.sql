-- +goose Up
-- Who works, on what, and what they are asked to do.

create table scheduler.workers (
  id         uuid primary key,
  name       text not null,
  host       text not null default '',
  pid        integer not null default 0,
  version    text not null default '',
  queues     text[] not null,
  kinds      text[] not null,
  slots      integer not null,
  running    integer not null default 0,
  command    text not null default 'run' check (command in ('run', 'quiet', 'stop')),
  ttl_ms     bigint not null,
  started_at timestamptz not null default now(),
  seen_at    timestamptz not null default now()
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table scheduler.workers is 'Live worker processes. A worker silent for ttl_ms is dead: any process deletes its row and gives its tasks back.';
comment on column scheduler.workers.id is 'Random, fresh at each start.';
comment on column scheduler.workers.kinds is 'Kinds that it can run; it leases no other.';
comment on column scheduler.workers.slots is 'Tasks that it runs at once.';
comment on column scheduler.workers.running is 'Tasks that it ran at its last heartbeat.';
comment on column scheduler.workers.command is 'run: work. quiet: finish what runs, lease nothing more. stop: quiet, then end.';
comment on column scheduler.workers.ttl_ms is 'Milliseconds of silence after which it is dead.';
comment on column scheduler.workers.seen_at is 'Last heartbeat.';

create table scheduler.leases (
  worker_id uuid not null,
  id        bigint generated always as identity,
  queue     text not null,
  task_ids  uuid[] not null,
  leased_at timestamptz not null default now(),
  primary key (worker_id, id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table scheduler.leases alter column task_ids set storage external; -- ids do not compress
comment on table scheduler.leases is
  'One row a lease statement: the tasks that a worker took at once. Written with the lease, removed by the worker''s heartbeat when all in it have ended, read by whoever rescues a dead worker.';

create table scheduler.cancellations (
  task_id      uuid primary key,
  worker_id    uuid not null,
  queue        text not null,
  attempt      integer not null,
  requested_at timestamptz not null default now()
);
create index cancellations_worker on scheduler.cancellations (worker_id);
comment on table scheduler.cancellations is 'Requests to cancel running tasks, on their way to the worker by its heartbeat.';

create table scheduler.queues (
  name      text primary key,
  paused_at timestamptz
);
comment on table scheduler.queues is 'Settings of queues. A queue without a row exists all the same and has none.';
comment on column scheduler.queues.paused_at is 'Since when nothing is leased from the queue. NULL: not paused.';

-- +goose Down
drop table scheduler.queues;
drop table scheduler.cancellations;
drop table scheduler.leases;
drop table scheduler.workers;
