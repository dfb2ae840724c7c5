-- retry: @id. Rows: 1: state now. 0: neither failed nor cancelled, or unknown. Locks: the task.
select r.state from scheduler.retry(@id) r
