-- make: an empty schema. Rows: none. Locks: none.
create schema scheduler
