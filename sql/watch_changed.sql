-- watch_changed: which of some tasks changed since they were last read.
-- Arrays: @ids, @revisions. Rows: the ids of those whose revision is another, or that are gone. Locks: none.
select s.id
from unnest(@ids::uuid[], @revisions::bigint[]) as s(id, revision)
left join lateral (select t.revision from scheduler.tasks t where t.id = s.id offset 0) now on true -- one look at the primary key for each
where now.revision is distinct from s.revision
