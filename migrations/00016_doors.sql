-- +goose Up
-- Who may renew a worker: one without a connection is renewed by whatever is said under its leases; one that sends heartbeats of its own is not.

alter table scheduler.workers add column remote boolean not null default false;
comment on column scheduler.workers.remote is 'It works over HTTP leases: the server renews it whenever it is heard of. Else it renews itself.';

-- +goose Down
alter table scheduler.workers drop column remote;
