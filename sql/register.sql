-- register: enters a worker process, alive from now on.
-- @id fresh; @name, @host, @pid, @version, @language; @queues, @kinds, @slots; @ttl_ms of silence until it is dead. Rows: none.
insert into scheduler.workers (id, name, host, pid, version, language, queues, kinds, slots, ttl_ms)
values (@id, @name, @host, @pid, @version, @language, @queues, @kinds, @slots, @ttl_ms)
on conflict (id) do update set seen_at = now() -- the answer to a first try was lost
