-- +goose Up
-- Doing something to all tasks that a filter matches, and errors grouped by how they read.

create table scheduler.bulk (
  id          uuid primary key,
  verb        text not null check (verb in ('retry', 'cancel', 'delete')),
  filter      jsonb not null,
  reason      text,
  state       text not null default 'running' check (state in ('running', 'done', 'cancelled')),
  total       bigint,
  done        bigint not null default 0,
  skipped     bigint not null default 0,
  cursor      uuid,
  actor       text not null,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  finished_at timestamptz
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
create index bulk_running on scheduler.bulk (state) where state = 'running';
comment on table scheduler.bulk is
  'Retry, cancel or delete of all tasks that a filter matches, a chunk in a transaction. Whichever process sees a running row first does the next chunk.';
comment on column scheduler.bulk.filter is 'As in the HTTP API: state, queue, kind, tag, q, created_after, created_before, error_group.';
comment on column scheduler.bulk.total is 'Tasks that matched at the beginning. NULL: too many to count.';
comment on column scheduler.bulk.done is 'Tasks that were retried, cancelled or deleted.';
comment on column scheduler.bulk.skipped is 'Tasks that matched and could not be: locked by somebody, changed meanwhile, or their unique key is held.';
comment on column scheduler.bulk.cursor is 'The next chunk looks at tasks with lower ids. Moves in the transaction of the chunk. NULL: it begins with the newest.';

-- +goose StatementBegin
-- How an error reads without what differs from one to the next: ids, quoted texts, addresses, paths, hexadecimals, numbers.
create function scheduler.error_shape(error text) returns text
language sql immutable parallel safe
return trim(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(
  left(coalesce(error, ''), 1000),
  '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}', '<id>', 'g'),
  '"[^"]*"|`[^`]*`', '<text>', 'g'),
  '(^|[^[:alnum:]])''[^'']*''', '\1<text>', 'g'),
  '[[:alpha:]][[:alnum:]+.-]*://[^[:space:]]+', '<url>', 'g'),
  '(^|[[:space:]=(\[])(/[^[:space:]:,;)\]]+|[[:alpha:]]:\\[^[:space:]:,;)\]]+)', '\1<path>', 'g'),
  '\m(0[xX][0-9a-fA-F]+|(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,})\M', '<hex>', 'g'),
  '[0-9]+([.,:][0-9]+)*', '<n>', 'g'),
  '[[:space:]]+', ' ', 'g'));
-- +goose StatementEnd

-- +goose StatementBegin
-- A short name for the errors that read alike.
create function scheduler.error_group(code text, error text) returns text
language sql immutable parallel safe
return left(md5(coalesce(code, '') || ' ' || scheduler.error_shape(error)), 16);
-- +goose StatementEnd

-- +goose Down
drop function scheduler.error_group(text, text);
drop function scheduler.error_shape(text);
drop table scheduler.bulk;
