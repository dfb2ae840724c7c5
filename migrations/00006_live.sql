-- +goose Up
-- What a person watches: changes of a watched task are told to those who watch, and to nobody else.

alter table scheduler.tasks add column watched_until timestamptz;
comment on column scheduler.tasks.watched_until is
  'Until then each change of the row is told on the channel scheduler_watch. Set and renewed by servers for as long as somebody watches. NULL: nobody did.';

-- +goose StatementBegin
create function scheduler.tell_watchers() returns trigger
language plpgsql as $$
begin
  perform pg_notify('scheduler_watch', old.id::text);
  return null;
end $$;
-- +goose StatementEnd

-- Their conditions are false for nearly every row, and cost next to nothing then.
create trigger tasks_watched after update on scheduler.tasks
  for each row when (new.watched_until > now() and new.revision <> old.revision)
  execute function scheduler.tell_watchers();
create trigger tasks_watched_gone after delete on scheduler.tasks
  for each row when (old.watched_until > now())
  execute function scheduler.tell_watchers();

-- +goose Down
drop trigger tasks_watched_gone on scheduler.tasks;
drop trigger tasks_watched on scheduler.tasks;
drop function scheduler.tell_watchers();
alter table scheduler.tasks drop column watched_until;
