-- cancel: @id, @reason or NULL. Rows: 1: state now, requested: it runs and was asked to stop. 0: final or unknown.
-- Locks: the task, then its cancellation row.
select c.state, c.requested from scheduler.cancel(@id, @reason) c
