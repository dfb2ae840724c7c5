-- lease: takes up to $3 ready tasks of one queue for a worker, in order of priority, due time, id.
-- $1 worker, $2 queue, $3 limit, $4 kinds that it can run; $5 priority, $6 due time, $7 id: where in that order to start looking, which
-- spares the walk over dead index entries at the head; -32768, -infinity, zeros: from the beginning.
-- Rows: the tasks taken, in no order; none: nothing to take, the queue is paused, or the worker's row is gone.
-- Locks: the tasks, skipping those locked; by tuple id, so that the plan is a walk of tasks_ready and a TID scan. Hot: positional.
with leased as (
  update scheduler.tasks t
  set state = 'running', attempt = t.attempt + 1, worker_id = $1::uuid, started_at = now(), revision = t.revision + 1
  where t.queue = $2::text and t.ctid = any (array(
    select c.ctid
    from scheduler.tasks c
    where c.queue = $2::text and c.ready and (c.priority, c.run_at, c.id) >= ($5::smallint, $6::timestamptz, $7::uuid)
      and c.kind = any ($4::text[]) and (c.expires_at is null or c.expires_at > now())
      and exists (select from scheduler.workers w where w.id = $1::uuid)
      and not exists (select from scheduler.queues q where q.name = $2::text and q.paused_at is not null)
    order by c.priority, c.run_at, c.id
    limit $3::integer
    for update skip locked))
  returning t.id, t.kind, t.payload, t.attempt, t.failures, t.max_attempts, t.priority, t.timeout_ms, t.run_at, t.created_at,
    t.schedule, t.tick_at, t.trace, t.checkpoint, t.topic, t.message_id
), lease as (
  insert into scheduler.leases (worker_id, queue, task_ids)
  select $1::uuid, $2::text, array_agg(l.id) from leased l having count(*) > 0
  returning id
)
select (select id from lease) as lease_id, l.* from leased l
