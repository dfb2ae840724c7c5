-- settled: whether this attempt of this worker was ended by itself; asked when an answer was lost on the way.
-- @id, @attempt, @worker. Rows: 1. Locks: none.
select exists (select from scheduler.tasks t where t.id = @id and t.attempt = @attempt and t.worker_id = @worker and t.state = 'completed')
  or exists (select from scheduler.attempts a where a.task_id = @id and a.attempt = @attempt and a.worker_id = @worker
    and a.outcome <> 'crashed')
