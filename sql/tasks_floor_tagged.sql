-- tasks_floor_tagged: how far down a list of the tasks with a tag may look. @tag. @before: only ids below it. @scan: how many it may look at.
-- Rows: 1: the id that is the last one to look at. 0: there are fewer, look to the end. Locks: none.
select g.task_id as id from scheduler.task_tags g where g.tag = @tag and g.task_id < @before order by g.task_id desc offset @scan - 1 limit 1
