-- worker_command: tells a worker to run, to be quiet or to stop. @id, @command. @actor, NULL: the database's role. Rows: 1: its id. 0: no such worker; a worker that
-- was told to stop can't be told otherwise. Locks: the worker. Tells it at once; otherwise its next heartbeat does. Leaves an audit row.
with told as (
  update scheduler.workers w set command = @command where w.id = @id and (w.command <> 'stop' or @command = 'stop') returning w.id, w.name
), audit as (
  insert into scheduler.audit (actor, verb, target, detail)
  select coalesce(@actor::text, session_user), @command || '_worker', t.name, jsonb_build_object('worker_id', t.id) from told t
)
select t.id from told t, lateral (select pg_notify('scheduler_control', t.id::text)) n
