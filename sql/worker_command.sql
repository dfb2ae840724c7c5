-- worker_command: tells a worker to run, to be quiet or to stop. @id, @command. Rows: 1: its id. 0: no such worker; a worker that
-- was told to stop can't be told otherwise. Locks: the worker. Tells it at once; otherwise its next heartbeat does.
with told as (
  update scheduler.workers w set command = @command where w.id = @id and (w.command <> 'stop' or @command = 'stop') returning w.id
)
select t.id from told t, lateral (select pg_notify('scheduler_control', t.id::text)) n
