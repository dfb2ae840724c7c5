-- analyze: renews statistics. Rows: none.
analyze scheduler.tasks, scheduler.leases, scheduler.workers
