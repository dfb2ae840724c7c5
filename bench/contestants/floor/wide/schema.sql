-- The shape of a product's table: what people ask for, flags generated from the state, indexes that follow the flags. Kept as
-- it was when the benchmark was written, so that the product is compared with something that stays.
create table if not exists task (
  id                  uuid primary key,
  queue               text not null,
  kind                text not null,
  state               smallint not null default 1, -- 0 scheduled, 1 ready, 2 running, 3 completed, 4 failed
  priority            smallint not null default 0,
  attempt             integer not null default 0,
  failures            smallint not null default 0,
  crashes             smallint not null default 0,
  max_attempts        smallint not null default 10,
  ready               boolean not null generated always as (state = 1) stored,
  waiting             boolean not null generated always as (state = 0) stored,
  dead                boolean not null generated always as (state = 4) stored,
  run_at              timestamptz not null default now(),
  created_at          timestamptz not null default now(),
  started_at          timestamptz,
  finished_at         timestamptz,
  worker_id           uuid,
  revision            bigint not null default 1,
  payload             jsonb not null,
  result              jsonb,
  error_code          text,
  error               text,
  progress_current    bigint,
  progress_total      bigint,
  timeout_ms          bigint,
  expires_at          timestamptz,
  unique_key          text,
  idempotency_key     text
) with (fillfactor = 60);
create index if not exists task_ready on task (queue, priority, run_at, id) where ready;
create index if not exists task_waiting on task (run_at) where waiting;
create index if not exists task_dead on task (queue, id) where dead;
create unique index if not exists task_unique on task (queue, unique_key) where unique_key is not null;
create unique index if not exists task_idempotency on task (queue, idempotency_key) where idempotency_key is not null;
create table if not exists lease (
  worker_id uuid not null,
  id        bigint generated always as identity,
  queue     text not null,
  task_ids  uuid[] not null,
  leased_at timestamptz not null default now(),
  primary key (worker_id, id)
);
