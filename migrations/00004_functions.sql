-- +goose Up
-- What any SQL session may call: submit, cancel, retry, explain.

-- +goose StatementBegin
-- Milliseconds to wait after so many failures: the list, whose last element repeats, or exponential with full jitter
-- (Brooker, "Exponential Backoff And Jitter", 2015): uniform between 0 and 1 s, 2 s, 4 s … at most 1 h. At most a year and
-- never NULL, whatever a row written by hand holds: a failure that can't be stored would be tried for ever.
create function scheduler.backoff(failures integer, backoff_ms bigint[]) returns bigint
language sql volatile parallel safe
return case
  when cardinality(backoff_ms) > 0
    then least(coalesce((array(select b from unnest(backoff_ms) b))[least(greatest(failures, 1), cardinality(backoff_ms))], 0), 31557600000)
  else floor(random() * least(3600000, 1000 * 2 ^ least(greatest(failures, 1) - 1, 30)))::bigint
end;
-- +goose StatementEnd

-- +goose StatementBegin
-- SHA-256 of what a submit asked for. The same request has the same fingerprint through every door: jsonb has one spelling
-- for one value, times are compared as instants, and what was left out equals its default.
create function scheduler.fingerprint(kind text, payload jsonb, priority integer, run_at timestamptz, delay_ms bigint,
  max_attempts integer, timeout_ms bigint, expires_at timestamptz, unique_key text, backoff_ms bigint[]) returns bytea
language sql immutable parallel safe
return sha256(convert_to(jsonb_build_array(kind, payload, priority, extract(epoch from run_at), nullif(delay_ms, 0),
  max_attempts, nullif(timeout_ms, 0), extract(epoch from expires_at), unique_key, to_jsonb(backoff_ms))::text, 'UTF8'));
-- +goose StatementEnd

-- +goose StatementBegin
create function scheduler.check_submit(kind text, payload jsonb, queue text, priority integer, run_at timestamptz, delay_ms bigint,
  max_attempts integer, timeout_ms bigint, expires_at timestamptz, unique_key text, idempotency_key text, backoff_ms bigint[])
returns void
language plpgsql stable as $$
declare
  field text;
  rule text;
begin
  field := case
    when kind is null or kind !~ '^[A-Za-z0-9_][A-Za-z0-9_.:/\\-]*$' or octet_length(kind) > 128 then 'kind'
    when queue is null or queue !~ '^[A-Za-z0-9_][A-Za-z0-9_.-]*$' or octet_length(queue) > 128 then 'queue'
    when payload is null or octet_length(payload::text) > 262144
      or jsonb_path_exists(payload, 'strict $.**{64} ? (@.type() == "array" || @.type() == "object")') then 'payload'
    when priority is null or priority not between -32768 and 32767 then 'priority'
    when run_at is not null and not (isfinite(run_at) and run_at between '1970-01-01Z' and '9999-12-31Z') then 'run_at'
    when delay_ms is not null and delay_ms not between 0 and 3155760000000 then 'delay_ms'
    when run_at is not null and delay_ms is not null then 'delay_ms'
    when max_attempts is null or max_attempts not between 1 and 1000 then 'max_attempts'
    when timeout_ms is not null and timeout_ms not between 1 and 31557600000 then 'timeout_ms'
    when expires_at is not null and not (isfinite(expires_at) and expires_at between '1970-01-01Z' and '9999-12-31Z') then 'expires_at'
    when unique_key is not null and (unique_key = '' or octet_length(unique_key) > 255) then 'unique_key'
    when idempotency_key is not null and (idempotency_key = '' or octet_length(idempotency_key) > 255) then 'idempotency_key'
    when backoff_ms is not null and (array_ndims(backoff_ms) is distinct from 1 or array_lower(backoff_ms, 1) <> 1
      or cardinality(backoff_ms) > 100) then 'backoff_ms'
    when exists (select from unnest(backoff_ms) b where b is null or b not between 0 and 31557600000) then 'backoff_ms'
  end;
  if field is null then
    return;
  end if;
  rule := case field
    when 'kind' then '1 to 128 letters, digits and _ . : / \ -, not starting with punctuation'
    when 'queue' then '1 to 128 letters, digits and _ . -, not starting with punctuation'
    when 'payload' then 'JSON of at most 262144 bytes and 64 levels, not SQL NULL'
    when 'priority' then '-32768 to 32767'
    when 'run_at' then 'a time between the years 1970 and 9999'
    when 'delay_ms' then '0 to 3155760000000, and not together with run_at'
    when 'max_attempts' then '1 to 1000'
    when 'timeout_ms' then '1 to 31557600000'
    when 'expires_at' then 'a time between the years 1970 and 9999'
    when 'unique_key' then '1 to 255 bytes'
    when 'idempotency_key' then '1 to 255 bytes'
    when 'backoff_ms' then '1 to 100 elements, each 0 to 31557600000'
  end;
  raise exception 'scheduler.submit: bad %', field
    using errcode = 'invalid_parameter_value', column = field, detail = field || ': ' || rule;
end $$;
-- +goose StatementEnd

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

-- +goose StatementBegin
-- One statement, so that a cancel and a completion racing for the row have one winner.
create function scheduler.cancel(id uuid, reason text default null)
returns table (id uuid, state scheduler.task_state, requested boolean)
language sql volatile as $$
  with cancelled as (
    update scheduler.tasks t
    set state = case when t.state = 'running' then t.state else 'cancelled' end,
        finished_at = case when t.state = 'running' then null else now() end,
        cancel_requested_at = coalesce(t.cancel_requested_at, now()),
        error_code = 'cancelled',
        error = coalesce(left(cancel.reason, 1000), 'cancelled on request'),
        revision = t.revision + 1
    where t.id = cancel.id and t.state in ('blocked', 'scheduled', 'ready', 'running')
    returning t.id, t.state, t.worker_id, t.queue, t.attempt
  ), request as (
    insert into scheduler.cancellations (task_id, worker_id, queue, attempt)
    select c.id, c.worker_id, c.queue, c.attempt from cancelled c where c.state = 'running'
    on conflict (task_id) do update
      set worker_id = excluded.worker_id, attempt = excluded.attempt, requested_at = excluded.requested_at
  )
  select c.id, c.state, c.state = 'running'
  from cancelled c,
    lateral (select case when c.state = 'running' then pg_notify('scheduler_control', c.worker_id::text) end) n
$$;
-- +goose StatementEnd
comment on function scheduler.cancel is
  'Cancels a task. A row with requested = false: it is cancelled. requested = true: it runs, its worker was told, and it ends cancelled unless it completes first. No row: it is final or unknown, nothing changed.';

-- +goose StatementBegin
create function scheduler.retry(id uuid) returns table (id uuid, state scheduler.task_state)
language sql volatile as $$
  with retried as (
    update scheduler.tasks t
    set state = 'ready', run_at = now(), finished_at = null, failures = 0, crashes = 0, worker_id = null, expires_at = null,
        cancel_requested_at = null, error_code = null, error = null,
        progress_current = null, progress_total = null, progress_message = null, progress_data = null, progress_at = null,
        revision = t.revision + 1
    where t.id = retry.id and t.state in ('failed', 'cancelled')
    returning t.id, t.state, t.queue
  ), forgotten as ( -- the request was for an attempt that has ended; it must not reach the next one
    delete from scheduler.cancellations c using retried r where c.task_id = r.id
  )
  select r.id, r.state from retried r, lateral (select pg_notify('scheduler_ready', r.queue)) n
$$;
-- +goose StatementEnd
comment on function scheduler.retry is
  'Brings a failed or cancelled task back to ready with its failures, crashes and expiry cleared; attempt and the history stay. No row: it is in another state or unknown. 23505 on tasks_active_key: another task holds its unique_key by now.';

-- +goose Down
drop function scheduler.retry(uuid);
drop function scheduler.cancel(uuid, text);
drop function scheduler.submit(text, jsonb, text, integer, timestamptz, bigint, integer, bigint, timestamptz, text, text, bigint[]);
drop function scheduler.check_submit(text, jsonb, text, integer, timestamptz, bigint, integer, bigint, timestamptz, text, text, bigint[]);
drop function scheduler.fingerprint(text, jsonb, integer, timestamptz, bigint, integer, bigint, timestamptz, text, bigint[]);
drop function scheduler.backoff(integer, bigint[]);
