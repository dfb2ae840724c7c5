-- vacuum: removes dead rows and renews statistics. Rows: none. Not in a transaction.
vacuum (analyze) scheduler.tasks, scheduler.leases, scheduler.workers
