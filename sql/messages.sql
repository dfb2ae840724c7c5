-- messages: the newest messages, for people. @limit. Rows: newest id first; tasks: how many subscriptions matched. Locks: none.
select m.id, m.topic, m.payload, m.published_at, m.tasks from scheduler.messages m order by m.id desc limit @limit
