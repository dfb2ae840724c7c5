update task set state = 3, finished_at = now(), revision = revision + 1
where id = any ($1::uuid[]) and state = 2 and worker_id = '00000000-0000-7000-8000-000000000001'
