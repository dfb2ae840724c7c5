-- updates: how many rows were updated, and how many of them heap-only. $1 schema; '': all. Rows: 1. Locks: none.
select coalesce(sum(n_tup_upd), 0)::bigint as updates, coalesce(sum(n_tup_hot_upd), 0)::bigint as hot
from pg_stat_user_tables where $1::text in ('', schemaname)
