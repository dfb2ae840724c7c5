-- subscription_delete: removes a subscription; tasks that were made for it stay. @name. @actor, NULL: the database's role.
-- Rows: 1: its name. 0: no such subscription. Locks: the subscription. Leaves an audit row.
with gone as (delete from scheduler.subscriptions where name = @name returning name),
  audit as (insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'delete_subscription', g.name from gone g)
select name from gone
