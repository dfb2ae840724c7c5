-- +goose Up
-- Traces by SQL, and subscriptions that are right however they were written.

-- +goose StatementBegin
-- A W3C traceparent as it is stored, version 00; NULL for what is none: it comes from strangers' headers, and must not spoil the
-- caller's transaction.
create function scheduler.clean_trace(traceparent text) returns text
language sql immutable parallel safe
return case when traceparent ~ '^(00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]|(?!00|ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?)$'
    and substr(traceparent, 4, 32) <> repeat('0', 32) and substr(traceparent, 37, 16) <> repeat('0', 16)
  then '00' || substr(traceparent, 3, 51) || '0' || translate(substr(traceparent, 55, 1), '456789abcdef', '012301230123') end; -- the two flags that 00 has
-- +goose StatementEnd

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
  backoff_ms      bigint[]    default null,
  tags            text[]      default null,
  traceparent     text        default null
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
      unique_key, idempotency_key, fingerprint, tags, trace)
    values (submit.queue, submit.kind, v_state, submit.priority, submit.max_attempts, v_run_at, submit.payload, submit.timeout_ms,
      submit.backoff_ms, submit.expires_at, submit.unique_key, submit.idempotency_key, v_print, v_tags,
      scheduler.clean_trace(submit.traceparent))
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
  'Submits a task in the caller''s own transaction and returns its id. With idempotency_key: the same request again returns the same task, another request is refused (23505). With unique_key: returns the task of the queue that holds the key and is not final. With traceparent (W3C): the task belongs to that trace; one that is none is ignored. Bad arguments raise 22023 and name the field.';

drop function scheduler.publish(text, jsonb, text);
-- +goose StatementBegin
create function scheduler.publish(
  topic           text,
  payload         jsonb default '{}',
  idempotency_key text  default null,
  traceparent     text  default null
) returns bigint
language plpgsql volatile as $$
#variable_conflict use_column
declare
  v_message record;
begin
  select * into v_message from scheduler.fan_out(publish.topic, publish.payload, publish.idempotency_key,
    scheduler.clean_trace(publish.traceparent));
  if not v_message.replayed then
    perform pg_notify('scheduler_ready', q.queue) from (select distinct t ->> 'queue' as queue from jsonb_array_elements(v_message.tasks) t) q;
    perform pg_notify('scheduler_message', '');
  end if;
  return v_message.id;
end $$;
-- +goose StatementEnd
comment on function scheduler.publish is
  'Publishes a message in the caller''s own transaction and returns its id: one task for each subscription that matches, and the message for all who follow the topic. With idempotency_key: the same request again publishes nothing and returns the first message, another request is refused (23505). With traceparent (W3C): the tasks belong to that trace; one that is none is ignored. Bad arguments raise 22023 and name the field.';

-- +goose StatementBegin
create function scheduler.backoff_fits(backoff_ms bigint[]) returns boolean
language sql immutable parallel safe
return backoff_ms is null or array_ndims(backoff_ms) is not distinct from 1 and array_lower(backoff_ms, 1) = 1 and cardinality(backoff_ms) <= 100
  and array_position(backoff_ms, null) is null and 0 <= all (backoff_ms) and 31557600000 >= all (backoff_ms);
-- +goose StatementEnd

-- What the API asks of a subscription, for rows that are written by SQL: one bad queue would fail every publish that matches. Not
-- valid: rows that are there already stay, and are held to it when they are written again.
alter table scheduler.subscriptions
  add constraint subscriptions_kind check (kind ~ '^[A-Za-z0-9_][A-Za-z0-9_.:/\\-]*$' and octet_length(kind) <= 128) not valid,
  add constraint subscriptions_queue check (queue ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]*$' and octet_length(queue) <= 128) not valid,
  add constraint subscriptions_max_attempts check (max_attempts between 1 and 1000) not valid,
  add constraint subscriptions_timeout_ms check (timeout_ms between 1 and 31557600000) not valid,
  add constraint subscriptions_backoff_ms check (scheduler.backoff_fits(backoff_ms)) not valid;

-- +goose Down
alter table scheduler.subscriptions drop constraint subscriptions_kind, drop constraint subscriptions_queue, drop constraint subscriptions_max_attempts,
  drop constraint subscriptions_timeout_ms, drop constraint subscriptions_backoff_ms;
drop function scheduler.backoff_fits(bigint[]);
drop function scheduler.publish(text, jsonb, text, text);
-- +goose StatementBegin
create function scheduler.publish(
  topic           text,
  payload         jsonb default '{}',
  idempotency_key text  default null
) returns bigint
language plpgsql volatile as $$
#variable_conflict use_column
declare
  v_message record;
begin
  select * into v_message from scheduler.fan_out(publish.topic, publish.payload, publish.idempotency_key, null);
  if not v_message.replayed then
    perform pg_notify('scheduler_ready', q.queue) from (select distinct t ->> 'queue' as queue from jsonb_array_elements(v_message.tasks) t) q;
    perform pg_notify('scheduler_message', '');
  end if;
  return v_message.id;
end $$;
-- +goose StatementEnd
comment on function scheduler.publish is
  'Publishes a message in the caller''s own transaction and returns its id: one task for each subscription that matches, and the message for all who follow the topic. With idempotency_key: the same request again publishes nothing and returns the first message, another request is refused (23505). Bad arguments raise 22023 and name the field.';

drop function scheduler.submit(text, jsonb, text, integer, timestamptz, bigint, integer, bigint, timestamptz, text, text, bigint[], text[], text);
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

drop function scheduler.clean_trace(text);
