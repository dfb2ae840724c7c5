-- endpoint_resume: undoes a pause; when the breaker is open, the next task is its probe. @name. @actor, NULL: the database's role.
-- Rows: 1: its name. 0: no such endpoint. Locks: the endpoint. Tells the workers. Leaves an audit row.
with resumed as (
  update scheduler.endpoints
  set paused_at = null, probe_at = case when state = 'open' then least(probe_at, now()) else probe_at end, updated_at = now()
  where name = @name returning name
), audit as (
  insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'resume_endpoint', r.name from resumed r
)
select r.name from resumed r, lateral (select pg_notify('scheduler_control', '*')) n
