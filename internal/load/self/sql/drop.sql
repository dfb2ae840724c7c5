-- drop: takes the schema out with all that is in it. Only for one that mark.sql has marked. Rows: none. Locks: all of it.
drop schema if exists scheduler cascade
