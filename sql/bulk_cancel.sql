-- bulk_cancel: ends a bulk; what it did stays done. @id. @actor, NULL: the database's role. Rows: 1. 0: it is over, or unknown.
-- Locks: the bulk. Leaves an audit row.
with ended as (
  update scheduler.bulk b set state = 'cancelled', finished_at = now(), updated_at = now() where b.id = @id and b.state = 'running'
  returning b.id, b.verb
), audit as (
  insert into scheduler.audit (actor, verb, target, detail)
  select coalesce(@actor::text, session_user), 'cancel_bulk', e.id::text, jsonb_build_object('verb', e.verb) from ended e
)
select e.id from ended e
