insert into task (id, queue, kind, payload) values ($1, 'default', 'noop', $2)
