-- +goose Up
-- Tags: words that whoever submits a task puts on it, to find it by.

alter table scheduler.tasks add column tags text[];
comment on column scheduler.tasks.tags is 'Up to 16 words to find the task by, sorted. NULL: none.';

create table scheduler.task_tags (
  tag     text not null,
  task_id uuid not null,
  queue   text not null,
  primary key (tag, task_id)
) with (autovacuum_vacuum_insert_scale_factor = 0.1);
comment on table scheduler.task_tags is 'The tasks of each tag, newest last. Follows scheduler.tasks by triggers, which cost a task without tags nothing.';

-- +goose StatementBegin
-- With its owner's rights: whoever may write tasks need not be allowed to write this.
create function scheduler.follow_tags() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op <> 'INSERT' then
    delete from scheduler.task_tags g where g.tag = any (old.tags) and g.task_id = old.id;
  end if;
  if tg_op <> 'DELETE' then
    insert into scheduler.task_tags (tag, task_id, queue) select distinct t, new.id, new.queue from unnest(new.tags) t;
  end if;
  return null;
end $$;
-- +goose StatementEnd

create trigger tasks_tag after insert on scheduler.tasks
  for each row when (new.tags is not null) execute function scheduler.follow_tags();
create trigger tasks_untag after delete on scheduler.tasks
  for each row when (old.tags is not null) execute function scheduler.follow_tags();
create trigger tasks_retag after update of tags on scheduler.tasks
  for each row when (old.tags is distinct from new.tags) execute function scheduler.follow_tags();

-- +goose StatementBegin
-- Tags as they are stored: sorted, each once, NULL for none. Bad ones are refused.
create function scheduler.clean_tags(tags text[]) returns text[]
language plpgsql immutable parallel safe as $$
begin
  if cardinality(tags) > 16 or exists (select from unnest(tags) t
    where t is null or t !~ '^[A-Za-z0-9_.:/@=+-]+$' or octet_length(t) > 64) then
    raise exception 'scheduler.submit: bad tags'
      using errcode = 'invalid_parameter_value', column = 'tags',
            detail = 'tags: up to 16, each 1 to 64 letters, digits and _ . - : / @ = +';
  end if;
  return nullif(array(select distinct t collate "C" from unnest(tags) t order by 1), '{}');
end $$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The same with tags. Without them it is what it was, so that keys of tasks that are stored already still fit.
create function scheduler.fingerprint(kind text, payload jsonb, priority integer, run_at timestamptz, delay_ms bigint,
  max_attempts integer, timeout_ms bigint, expires_at timestamptz, unique_key text, backoff_ms bigint[], tags text[]) returns bytea
language sql immutable parallel safe
return case when tags is null
  then scheduler.fingerprint(kind, payload, priority, run_at, delay_ms, max_attempts, timeout_ms, expires_at, unique_key, backoff_ms)
  else sha256(scheduler.fingerprint(kind, payload, priority, run_at, delay_ms, max_attempts, timeout_ms, expires_at, unique_key, backoff_ms)
    || convert_to(to_jsonb(tags)::text, 'UTF8')) end;
-- +goose StatementEnd

drop function scheduler.submit(text, jsonb, text, integer, timestamptz, bigint, integer, bigint, timestamptz, text, text, bigint[]);
-- +goose StatementBegin
create function scheduler.submit(
  kind            text,
  payload         jsonb       default '{}',
  queue           text        default 'default',
  priority        integer     default 0,
  run_at          timestamptz default null,
  delay_ms        bigint      default null,
  max_attempts    integer     default 10,
  timeout_ms      bigint      default null,
  expires_at      timestamptz default null,
  unique_key      text        default null,
  idempotency_key text        default null,
  backoff_ms      bigint[]    default null,
  tags            text[]      default null
) returns uuid
language plpgsql volatile as $$
#variable_conflict use_column
declare
  v_print bytea;
  v_tags text[];
  v_run_at timestamptz;
  v_state scheduler.task_state;
  v_id uuid;
  v_found bytea;
begin
  perform scheduler.check_submit(submit.kind, submit.payload, submit.queue, submit.priority, submit.run_at, submit.delay_ms,
    submit.max_attempts, submit.timeout_ms, submit.expires_at, submit.unique_key, submit.idempotency_key, submit.backoff_ms);
  v_tags := scheduler.clean_tags(submit.tags);
  v_run_at := coalesce(submit.run_at, now() + coalesce(submit.delay_ms, 0) * interval '1 ms');
  v_state := case when v_run_at <= now() then 'ready' else 'scheduled' end;
  if submit.idempotency_key is not null then
    v_print := scheduler.fingerprint(submit.kind, submit.payload, submit.priority, submit.run_at, submit.delay_ms, submit.max_attempts,
      submit.timeout_ms, submit.expires_at, submit.unique_key, submit.backoff_ms, v_tags);
  end if;
  -- A row in the way can vanish between the two statements; then the insert is tried again.
  for i in 1..100 loop
    insert into scheduler.tasks (queue, kind, state, priority, max_attempts, run_at, payload, timeout_ms, backoff_ms, expires_at,
      unique_key, idempotency_key, fingerprint, tags)
    values (submit.queue, submit.kind, v_state, submit.priority, submit.max_attempts, v_run_at, submit.payload, submit.timeout_ms,
      submit.backoff_ms, submit.expires_at, submit.unique_key, submit.idempotency_key, v_print, v_tags)
    on conflict do nothing
    returning id into v_id;
    if found then
      if v_state = 'ready' then
        perform pg_notify('scheduler_ready', submit.queue);
      elsif v_run_at < now() + interval '5 s' then
        perform pg_notify('scheduler_due', ceil(extract(epoch from v_run_at - clock_timestamp()) * 1000)::bigint::text);
      end if;
      return v_id;
    end if;
    if submit.idempotency_key is not null then
      select t.id, t.fingerprint into v_id, v_found from scheduler.tasks t
        where t.queue = submit.queue and t.idempotency_key = submit.idempotency_key;
      if found then
        if v_found is distinct from v_print then
          raise exception 'idempotency key % was first used with a different request, for task %', submit.idempotency_key, v_id
            using errcode = 'unique_violation', constraint = 'tasks_idempotency_key', detail = v_id::text,
                  hint = 'Use a new key for a new request.';
        end if;
        return v_id;
      end if;
    end if;
    if submit.unique_key is not null then
      select t.id into v_id from scheduler.tasks t where t.queue = submit.queue and t.active_key = submit.unique_key;
      if found then
        return v_id;
      end if;
    end if;
  end loop;
  raise exception 'scheduler.submit: the keys of queue % are too contended', submit.queue using errcode = 'lock_not_available';
end $$;
-- +goose StatementEnd
comment on function scheduler.submit is
  'Submits a task in the caller''s own transaction and returns its id. With idempotency_key: the same request again returns the same task, another request is refused (23505). With unique_key: returns the task of the queue that holds the key and is not final. Bad arguments raise 22023 and name the field.';

-- +goose Down
drop function scheduler.submit(text, jsonb, text, integer, timestamptz, bigint, integer, bigint, timestamptz, text, text, bigint[], text[]);
-- +goose StatementBegin
create function scheduler.submit(
  kind            text,
  payload         jsonb       default '{}',
  queue           text        default 'default',
  priority        integer     default 0,
  run_at          timestamptz default null,
  delay_ms        bigint      default null,
  max_attempts    integer     default 10,
  timeout_ms      bigint      default null,
  expires_at      timestamptz default null,
  unique_key      text        default null,
  idempotency_key text        default null,
  backoff_ms      bigint[]    default null
) returns uuid
language plpgsql volatile as $$
#variable_conflict use_column
declare
  v_print bytea;
  v_run_at timestamptz;
  v_state scheduler.task_state;
  v_id uuid;
  v_found bytea;
begin
  perform scheduler.check_submit(submit.kind, submit.payload, submit.queue, submit.priority, submit.run_at, submit.delay_ms,
    submit.max_attempts, submit.timeout_ms, submit.expires_at, submit.unique_key, submit.idempotency_key, submit.backoff_ms);
  v_run_at := coalesce(submit.run_at, now() + coalesce(submit.delay_ms, 0) * interval '1 ms');
  v_state := case when v_run_at <= now() then 'ready' else 'scheduled' end;
  if submit.idempotency_key is not null then
    v_print := scheduler.fingerprint(submit.kind, submit.payload, submit.priority, submit.run_at, submit.delay_ms, submit.max_attempts,
      submit.timeout_ms, submit.expires_at, submit.unique_key, submit.backoff_ms);
  end if;
  -- A row in the way can vanish between the two statements; then the insert is tried again.
  for i in 1..100 loop
    insert into scheduler.tasks (queue, kind, state, priority, max_attempts, run_at, payload, timeout_ms, backoff_ms, expires_at,
      unique_key, idempotency_key, fingerprint)
    values (submit.queue, submit.kind, v_state, submit.priority, submit.max_attempts, v_run_at, submit.payload, submit.timeout_ms,
      submit.backoff_ms, submit.expires_at, submit.unique_key, submit.idempotency_key, v_print)
    on conflict do nothing
    returning id into v_id;
    if found then
      if v_state = 'ready' then
        perform pg_notify('scheduler_ready', submit.queue);
      elsif v_run_at < now() + interval '5 s' then
        perform pg_notify('scheduler_due', ceil(extract(epoch from v_run_at - clock_timestamp()) * 1000)::bigint::text);
      end if;
      return v_id;
    end if;
    if submit.idempotency_key is not null then
      select t.id, t.fingerprint into v_id, v_found from scheduler.tasks t
        where t.queue = submit.queue and t.idempotency_key = submit.idempotency_key;
      if found then
        if v_found is distinct from v_print then
          raise exception 'idempotency key % was first used with a different request, for task %', submit.idempotency_key, v_id
            using errcode = 'unique_violation', constraint = 'tasks_idempotency_key', detail = v_id::text,
                  hint = 'Use a new key for a new request.';
        end if;
        return v_id;
      end if;
    end if;
    if submit.unique_key is not null then
      select t.id into v_id from scheduler.tasks t where t.queue = submit.queue and t.active_key = submit.unique_key;
      if found then
        return v_id;
      end if;
    end if;
  end loop;
  raise exception 'scheduler.submit: the keys of queue % are too contended', submit.queue using errcode = 'lock_not_available';
end $$;
-- +goose StatementEnd
comment on function scheduler.submit is
  'Submits a task in the caller''s own transaction and returns its id. With idempotency_key: the same request again returns the same task, another request is refused (23505). With unique_key: returns the task of the queue that holds the key and is not final. Bad arguments raise 22023 and name the field.';
drop function scheduler.fingerprint(text, jsonb, integer, timestamptz, bigint, integer, bigint, timestamptz, text, bigint[], text[]);
drop trigger tasks_retag on scheduler.tasks;
drop trigger tasks_untag on scheduler.tasks;
drop trigger tasks_tag on scheduler.tasks;
drop function scheduler.follow_tags();
drop function scheduler.clean_tags(text[]);
drop table scheduler.task_tags;
alter table scheduler.tasks drop column tags;
