-- clear: removes all that benchmarks have left in a schema that is not their own.
-- Rows: none. Locks: the tasks, then side rows. Nobody else runs them.
with tasks as (
  delete from scheduler.tasks where queue ~ '^scheduler-bench-[0-9a-f]{8}$'
), attempts as (
  delete from scheduler.attempts where queue ~ '^scheduler-bench-[0-9a-f]{8}$'
), logs as (
  delete from scheduler.task_logs where queue ~ '^scheduler-bench-[0-9a-f]{8}$'
), cancellations as (
  delete from scheduler.cancellations where queue ~ '^scheduler-bench-[0-9a-f]{8}$'
)
delete from scheduler.leases where queue ~ '^scheduler-bench-[0-9a-f]{8}$'
