-- queue_pause: nothing more is leased from a queue; what runs goes on. @queue. @actor, NULL: the database's role. Rows: 1: since when. Locks: the queue's row.
-- Tells the workers. Leaves an audit row.
with paused as (
  insert into scheduler.queues (name, paused_at) values (@queue, now())
  on conflict (name) do update set paused_at = coalesce(queues.paused_at, excluded.paused_at)
  returning name, paused_at
), audit as (
  insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'pause_queue', p.name from paused p
)
select p.paused_at from paused p, lateral (select pg_notify('scheduler_control', '*')) n
