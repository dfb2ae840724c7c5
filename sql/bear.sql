-- bear: how long the statements of this transaction that follow wait for a lock.
-- $1 milliseconds, as text. Rows: 1. Locks: none. Hot: positional.
select set_config('lock_timeout', $1::text, true)
