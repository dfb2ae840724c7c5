-- +goose Up
-- The trace that a task belongs to, so that what a request caused can be followed across processes.

alter table scheduler.tasks add column trace text;
comment on column scheduler.tasks.trace is
  'W3C traceparent of the request that submitted the task, handed to its handler. NULL: none. No part of the request as idempotency keys see it.';

-- +goose Down
alter table scheduler.tasks drop column trace;
