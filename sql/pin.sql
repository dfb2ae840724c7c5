-- pin: has the statements of this transaction that follow walk indexes, whatever the statistics say or do not say yet.
-- Rows: 1. Locks: none.
select set_config('enable_seqscan', 'off', true) as seqscan, set_config('enable_bitmapscan', 'off', true) as bitmapscan,
  set_config('enable_sort', 'off', true) as sort
