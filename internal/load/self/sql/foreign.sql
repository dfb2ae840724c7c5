-- foreign: whether there are tasks that are not of a benchmark. Rows: 1. Locks: none.
select exists (select from scheduler.tasks where queue !~ '^scheduler-bench-[0-9a-f]{8}$')
