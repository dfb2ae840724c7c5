-- clock: the database's clock. Rows: 1. Locks: none.
select clock_timestamp()
