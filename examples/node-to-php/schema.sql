-- The consumer's own tables, in the database that holds the scheduler's.
create schema if not exists app;

create table if not exists app.invoices (
  number   integer primary key, -- 1, 2, 3, …: the tax office wants no gap and nothing twice
  task     uuid not null unique, -- what makes a task that runs again harmless
  customer text not null,
  cents    bigint not null
);

create table if not exists app.last_invoice (number integer not null);
insert into app.last_invoice select 0 where not exists (select from app.last_invoice);
