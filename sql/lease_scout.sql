-- lease_scout: the first ready task of one queue before a place in the order of leasing, that a worker of some kinds could take.
-- $1 queue, $2 kinds; $3 priority, $4 due time, $5 id: the place. Rows: 1, or 0: none. Locks: none. Hot: positional.
select c.priority, c.run_at, c.id
from scheduler.tasks c
where c.queue = $1::text and c.ready and (c.priority, c.run_at, c.id) < ($3::smallint, $4::timestamptz, $5::uuid)
  and c.kind = any ($2::text[]) and (c.expires_at is null or c.expires_at > now())
order by c.priority, c.run_at, c.id
limit 1
