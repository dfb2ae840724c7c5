-- publish: stores a message and a task for each subscription that matches, and tells nobody.
-- @topic, @payload (JSON text), @idempotency_key, @trace; the last two may be NULL.
-- Rows: 1: the message, and its tasks as JSON; replayed: the same request came before, nothing was stored.
-- Locks: the key. 22023: a bad argument, its field in column. 23505 on message_keys_pkey: the key came with another request.
select f.id, f.published_at, f.tasks, f.replayed from scheduler.fan_out(@topic, @payload::jsonb, @idempotency_key, @trace) f
