-- queue_pause: nothing more is leased from a queue; what runs goes on. @queue. Rows: 1: since when. Locks: the queue's row.
-- Tells the workers.
with paused as (
  insert into scheduler.queues (name, paused_at) values (@queue, now())
  on conflict (name) do update set paused_at = coalesce(queues.paused_at, excluded.paused_at)
  returning name, paused_at
)
select p.paused_at from paused p, lateral (select pg_notify('scheduler_control', '*')) n
