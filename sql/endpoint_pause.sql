-- endpoint_pause: nothing more is delivered to an endpoint; what is under way goes on. @name. @actor, NULL: the database's role.
-- Rows: 1: since when. 0: no such endpoint. Locks: the endpoint. Tells the workers. Leaves an audit row.
with paused as (
  update scheduler.endpoints set paused_at = coalesce(paused_at, now()), updated_at = now() where name = @name returning name, paused_at
), audit as (
  insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'pause_endpoint', p.name from paused p
)
select p.paused_at from paused p, lateral (select pg_notify('scheduler_control', '*')) n
