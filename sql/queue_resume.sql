-- queue_resume: lets a queue be leased from again. @queue. Rows: 1: whether it was paused. Locks: the queue's row. Wakes its workers.
with resumed as (
  update scheduler.queues set paused_at = null where name = @queue and paused_at is not null returning name
)
select exists (select from resumed) as resumed
from (select pg_notify('scheduler_control', '*'), pg_notify('scheduler_ready', @queue)) n
