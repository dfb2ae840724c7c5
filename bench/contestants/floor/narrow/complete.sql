update task set state = 2, done_at = now() where id = any ($1::uuid[]) and state = 1
