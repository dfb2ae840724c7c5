-- The application's own tables, in the database that holds the scheduler's.
create schema if not exists app;

create table if not exists app.stock (
  item    text primary key,
  pieces  integer not null check (pieces >= 0), -- not yet ordered
  shipped integer not null default 0
);
insert into app.stock (item, pieces) values ('clock', 1000000), ('horse', 3), ('unicorn', 1) on conflict do nothing;

create table if not exists app.orders (
  id       text primary key, -- of the form: it finds the reply, and makes a second submit harmless
  email    text not null,
  item     text not null references app.stock,
  quantity integer not null,
  task     uuid not null
);

-- What the consumer does. One row for each task, however often the task runs.
create table if not exists app.shipments (
  task     uuid primary key,
  order_id text not null references app.orders,
  parcel   text not null
);
