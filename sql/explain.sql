-- explain: why a task does not run. @id. Rows: the reasons in order; none: no such task. Locks: none.
select e.code, e.reason, coalesce(e.fix, '') as fix from scheduler.explain(@id) e order by e.rank
