-- lease_tail: where the ready tasks of a queue end, in the order in which they are leased.
-- $1 queue. Rows: 1, or 0: none is ready. Locks: none. Hot: positional.
select t.priority, t.run_at, t.id from scheduler.tasks t where t.queue = $1::text and t.ready
order by t.priority desc, t.run_at desc, t.id desc limit 1
