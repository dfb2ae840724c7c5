-- lock: keeps other benchmarks away from this database until this connection ends. Rows: 1: whether it was to be had.
select pg_try_advisory_lock(x'7363682d62656e63'::bigint) -- "sch-benc"
