-- +goose Up
-- What workers of any language need: a place where a task goes on after a crash, and what people want to know of a worker.

alter table scheduler.tasks add column checkpoint jsonb;
comment on column scheduler.tasks.checkpoint is
  'What a handler stored to go on from after a crash or a failure, given to the next attempt. NULL: nothing. Kept until the task is deleted.';

alter table scheduler.workers add column language text not null default '', add column memory_bytes bigint;
comment on column scheduler.workers.language is 'What its handlers are written in, e.g. go, php 8.2. Empty: it did not say.';
comment on column scheduler.workers.memory_bytes is 'Memory that it held at its last heartbeat. NULL: it did not say.';

-- +goose Down
alter table scheduler.workers drop column memory_bytes, drop column language;
alter table scheduler.tasks drop column checkpoint;
