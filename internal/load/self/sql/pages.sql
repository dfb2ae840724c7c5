-- pages: how many pages of the scheduler's tables and indexes were asked for so far. Rows: 1. Locks: none.
select sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read, 0) + coalesce(idx_blks_hit, 0) + coalesce(toast_blks_read, 0)
  + coalesce(toast_blks_hit, 0) + coalesce(tidx_blks_read, 0) + coalesce(tidx_blks_hit, 0))::bigint
from pg_statio_user_tables where schemaname = 'scheduler'
