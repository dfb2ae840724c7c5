-- notify: hints that something is to be had; tables are the truth.
-- $1 channel; $2 payloads, one notification each. Rows: one a notification.
select pg_notify($1::text, p) from unnest($2::text[]) p
