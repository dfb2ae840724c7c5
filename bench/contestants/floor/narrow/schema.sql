-- The least that a queue with a history can have: one narrow table, one partial index that completion does not touch.
create table if not exists task (
  id         uuid primary key,
  queue      text not null,
  kind       text not null,
  state      smallint not null default 0, -- 0 ready, 1 running, 2 completed
  priority   smallint not null default 0,
  attempt    smallint not null default 0,
  worker     integer,
  run_at     timestamptz not null default now(),
  created_at timestamptz not null default now(),
  done_at    timestamptz,
  payload    jsonb not null
) with (fillfactor = 70);
create index if not exists task_ready on task (queue, priority, run_at, id) where worker is null;
