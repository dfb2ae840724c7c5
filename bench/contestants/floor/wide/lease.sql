with leased as (
  update task t set state = 2, attempt = attempt + 1, worker_id = '00000000-0000-7000-8000-000000000001', started_at = now(),
    revision = revision + 1
  where t.ctid = any (array(
    select c.ctid from task c where c.queue = 'default' and c.ready order by c.priority, c.run_at, c.id limit $1
    for update skip locked))
  returning t.id, t.payload
), leases as (
  insert into lease (worker_id, queue, task_ids)
  select '00000000-0000-7000-8000-000000000001', 'default', array_agg(id) from leased having count(*) > 0
)
select id, payload from leased
