-- endpoint_delete: removes an endpoint; its tasks stay, and deliveries that are under way end as they do. @name. @actor, NULL: the
-- database's role. Rows: 1: its name. 0: no such endpoint. Locks: the endpoint, then its slots. Tells the workers. Leaves an audit row.
with gone as (delete from scheduler.endpoints where name = @name returning name),
  slots as (delete from scheduler.endpoint_slots s using gone g where s.endpoint = g.name),
  audit as (insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'delete_endpoint', g.name from gone g)
select g.name from gone g, lateral (select pg_notify('scheduler_control', '*')) n
