update task t set state = 1, worker = 1, attempt = attempt + 1
where t.ctid = any (array(
  select c.ctid from task c where c.queue = 'default' and c.worker is null order by c.priority, c.run_at, c.id limit $1
  for update skip locked))
returning t.id, t.payload
