-- edit: changes what a task was submitted with, unless it runs or is completed. @id. @revision: only when that is the row's, NULL: whatever it is.
-- @fields: which change, of payload, priority, run_at, max_attempts, timeout_ms, expires_at, backoff_ms, tags; for each of them
-- @payload (JSON text), @priority, @run_at (NULL: now), @max_attempts, @timeout_ms, @expires_at, @backoff_ms, @tags (array literals).
-- @actor, NULL: the database's role. Rows: 1: queue and state now, and delay_ms until it is due. 0: it runs, is completed, has another
-- revision, or is unknown. Locks: the task. Wakes the queue's workers when it is ready. Leaves an audit row.
with edited as (
  update scheduler.tasks t
  set payload = case when 'payload' = any (@fields::text[]) then @payload::jsonb else t.payload end,
      priority = case when 'priority' = any (@fields) then @priority::smallint else t.priority end,
      run_at = n.run_at,
      state = case when t.state not in ('scheduled', 'ready') or not 'run_at' = any (@fields) then t.state
        when n.run_at > now() then 'scheduled' else 'ready' end,
      max_attempts = case when 'max_attempts' = any (@fields) then @max_attempts::smallint else t.max_attempts end,
      timeout_ms = case when 'timeout_ms' = any (@fields) then @timeout_ms::bigint else t.timeout_ms end,
      expires_at = case when 'expires_at' = any (@fields) then @expires_at::timestamptz else t.expires_at end,
      backoff_ms = case when 'backoff_ms' = any (@fields) then (@backoff_ms::text)::bigint[] else t.backoff_ms end,
      tags = case when 'tags' = any (@fields) then (@tags::text)::text[] else t.tags end,
      revision = t.revision + 1
  from (select c.id, case when 'run_at' = any (@fields) then coalesce(@run_at::timestamptz, now()) else c.run_at end as run_at
    from scheduler.tasks c where c.id = @id for no key update) n
  where t.id = n.id and t.state not in ('running', 'completed') and (@revision::bigint is null or t.revision = @revision)
  returning t.id, t.kind, t.queue, t.state, round(extract(epoch from t.run_at - now()) * 1000)::bigint as delay_ms
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target, detail)
  select coalesce(@actor::text, session_user), 'edit', e.id, e.kind, jsonb_build_object('fields', to_jsonb(@fields::text[])) from edited e
)
select e.queue, e.state, e.delay_ms
from edited e, lateral (select case when e.state = 'ready' then pg_notify('scheduler_ready', e.queue) end) n
