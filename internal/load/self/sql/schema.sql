-- schema: whether there is one, whether mark.sql has marked it, and whether there are tables in it. Rows: 1. Locks: none.
select n.oid is not null as is_there,
  coalesce(obj_description(n.oid, 'pg_namespace') like 'Made by scheduler bench,%', false) as marked,
  to_regclass('scheduler.workers') is not null as filled
from (select) one left join pg_namespace n on n.nspname = 'scheduler'
