-- queue_resume: lets a queue be leased from again. @queue. @actor, NULL: the database's role. Rows: 1: whether it was paused. Locks: the queue's row. Wakes its workers.
-- Leaves an audit row when it was paused.
with resumed as (
  update scheduler.queues set paused_at = null where name = @queue and paused_at is not null returning name
), audit as (
  insert into scheduler.audit (actor, verb, target) select coalesce(@actor::text, session_user), 'resume_queue', r.name from resumed r
)
select exists (select from resumed) as resumed
from (select pg_notify('scheduler_control', '*'), pg_notify('scheduler_ready', @queue)) n
