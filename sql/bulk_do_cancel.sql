-- bulk_do_cancel: cancels a chunk of a bulk. @ids, sorted. @reason or NULL. @bulk. @actor.
-- Rows: the ids of those that were. Locks: the tasks, by id, skipping those locked; then side rows. Leaves an audit row for each.
with free as materialized (
  select t.id, t.kind, t.queue, t.state, t.unique_key
  from scheduler.tasks t
  where t.id = any (@ids::uuid[])
  order by t.id
  for no key update skip locked
), ended as materialized (
  select c.id from free f, lateral scheduler.cancel(f.id, @reason) c
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target, detail)
  select @actor, 'cancel', f.id, f.kind, jsonb_build_object('bulk', @bulk::uuid, 'reason', @reason::text)
  from free f join ended e on e.id = f.id
)
select e.id from ended e
