-- +goose Up
-- How attempts ended, by the minute.

create table scheduler.stats (
  minute    timestamptz not null,
  queue     text not null,
  kind      text not null,
  completed bigint not null default 0,
  failed    bigint not null default 0,
  dead      bigint not null default 0,
  cancelled bigint not null default 0,
  crashed   bigint not null default 0,
  run_ms    bigint not null default 0,
  wait_ms   bigint not null default 0,
  primary key (minute, queue, kind)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);
comment on table scheduler.stats is
  'How attempts ended, counted in the memory of each process and added here every 5 s and when it ends: a process that is killed takes the counts of a few seconds with it. Kept for 7 days.';
comment on column scheduler.stats.minute is 'When the counts were added, by the database''s clock.';
comment on column scheduler.stats.failed is 'Attempts that failed and are tried again.';
comment on column scheduler.stats.dead is 'Attempts after which the task was given up.';
comment on column scheduler.stats.cancelled is 'Attempts that were stopped on request.';
comment on column scheduler.stats.crashed is 'Attempts whose worker was lost, counted by who noticed.';
comment on column scheduler.stats.run_ms is 'Run time of all these attempts but the crashed, summed.';
comment on column scheduler.stats.wait_ms is 'Time from when they were due to their start, summed, by the worker''s clock.';

-- +goose Down
drop table scheduler.stats;
