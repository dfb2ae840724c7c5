-- bulk_do_retry: retries a chunk of a bulk. @ids, sorted. @bulk. @actor.
-- Rows: the ids of those that were. Locks: the tasks, by id, skipping those locked; then side rows. Leaves an audit row for each.
with free as materialized (
  select t.id, t.kind, t.queue, t.state, t.unique_key
  from scheduler.tasks t
  where t.id = any (@ids::uuid[])
  order by t.id
  for no key update skip locked
), sole as ( -- of those that share a unique key one at most, and none whose key another task holds
  select distinct on (f.queue, coalesce(f.unique_key, f.id::text)) f.id from free f
  where not exists (select from scheduler.tasks o where o.queue = f.queue and o.active_key = f.unique_key)
  order by f.queue, coalesce(f.unique_key, f.id::text), f.id desc
), ended as materialized (
  select r.id from (select id from sole order by id) s, lateral scheduler.retry(s.id) r
), audit as (
  insert into scheduler.audit (actor, verb, task_id, target, detail)
  select @actor, 'retry', f.id, f.kind, jsonb_build_object('bulk', @bulk::uuid)
  from free f join ended e on e.id = f.id
)
select e.id from ended e
