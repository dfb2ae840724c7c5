-- bulk_do_delete: deletes a chunk of a bulk. @ids, sorted. @bulk. @actor.
-- Rows: the ids of those that were. Locks: the tasks, by id, skipping those locked; then side rows. Leaves an audit row for each.
with free as materialized (
  select t.id, t.kind, t.queue, t.state, t.unique_key
  from scheduler.tasks t
  where t.id = any (@ids::uuid[])
  order by t.id
  for no key update skip locked
), ended as (
  delete from scheduler.tasks t using free f where t.id = f.id and t.state in ('completed', 'failed', 'cancelled') returning t.id
), attempts as (
  delete from scheduler.attempts a using ended e where a.task_id = e.id
), requests as (
  delete from scheduler.cancellations c using ended e where c.task_id = e.id
), logs as (
  delete from scheduler.task_logs l using ended e where l.task_id = e.id
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target, detail)
  select @actor, 'delete', f.id, f.kind, jsonb_build_object('bulk', @bulk::uuid, 'state', f.state, 'queue', f.queue)
  from free f join ended e on e.id = f.id
)
select e.id from ended e
