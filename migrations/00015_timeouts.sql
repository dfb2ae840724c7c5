-- +goose Up
-- Workers that are not ours may be silent about a task whose time is over: the server ends its attempt.

alter table scheduler.leases add column timeout_at timestamptz;
create index leases_timeout on scheduler.leases (timeout_at) where timeout_at is not null;
comment on column scheduler.leases.timeout_at is
  'When to look for tasks in it whose timeout_ms is over by more than 5 s, to end their attempts. NULL: the worker does that by itself, or none has a timeout.';

-- +goose Down
drop index scheduler.leases_timeout;
alter table scheduler.leases drop column timeout_at;
