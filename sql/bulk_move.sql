-- bulk_move: notes that a chunk is done. @id. @cursor: the next one looks below this id. @last: there is none. @done, @skipped: tasks of the chunk.
-- Rows: 1. Locks: the bulk, which the caller holds.
update scheduler.bulk b
set cursor = @cursor, done = b.done + @done, skipped = b.skipped + @skipped, updated_at = now(),
    state = case when @last::boolean then 'done' else b.state end, finished_at = case when @last then now() end
where b.id = @id and b.state = 'running'
returning b.id
