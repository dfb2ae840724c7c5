-- lease_timeout: has time_out look after a lease row of a remote worker. $1 worker, $2 lease row, $3 ms from the lease on.
-- Rows: 1, its id; 0: it is gone. Locks: the lease row. Hot: positional.
update scheduler.leases l set timeout_at = l.leased_at + $3::bigint * interval '1 ms' where l.worker_id = $1::uuid and l.id = $2::bigint
returning l.id
