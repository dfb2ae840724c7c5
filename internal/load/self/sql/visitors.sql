-- visitors: whether somebody else has begun to use a benchmark's own schema, by its workers and its newest tasks; looking at
-- all of a benchmark's millions would take minutes. Rows: 1. Locks: none.
select exists (select from scheduler.workers w where array_to_string(w.queues, ' ') !~ '^scheduler-bench-[0-9a-f]{8}$')
  or exists (select from (select t.queue from scheduler.tasks t order by t.id desc limit 10000) newest
    where newest.queue !~ '^scheduler-bench-[0-9a-f]{8}$')
