-- +goose Up
-- Who did what: every action of a person or program on tasks, queues, schedules and workers.

create table scheduler.audit (
  id      bigint generated always as identity primary key,
  at      timestamptz not null default now(),
  actor   text not null,
  verb    text not null,
  task_id uuid,
  target  text not null,
  detail  jsonb not null default '{}'
) with (autovacuum_vacuum_insert_scale_factor = 0.1);
create index audit_task on scheduler.audit (task_id, id) where task_id is not null;
comment on table scheduler.audit is
  'One row an action that changed something, written in its transaction. What is done by the functions submit(), cancel() and retry() called from SQL leaves none.';
comment on column scheduler.audit.actor is 'Who, as the door knows it: user@host of a command line, the name of a token or session, else the role of the database.';
comment on column scheduler.audit.verb is 'cancel, retry, run, edit, delete, pause_queue, resume_queue, set_schedule, … one word each.';
comment on column scheduler.audit.target is 'What it was done to: the kind of the task, or the name of a queue, schedule or worker.';
comment on column scheduler.audit.detail is 'What else there is to say, as the reason of a cancel or the fields of an edit. No payloads.';

-- +goose Down
drop table scheduler.audit;
