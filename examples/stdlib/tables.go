package main

// createTables makes the demo's own tables, beside the scheduler's in the same database.
const createTables = `
create schema stdlib;

create table stdlib.counts (
  task_id   uuid not null,
  package   text not null,
  files     integer not null,
  lines     integer not null,
  functions integer not null,
  exported  integer not null
);
comment on table stdlib.counts is
  'Written by the tasks. No key keeps a package from being counted twice: only CompleteTx does.';

create table stdlib.found (
  package text primary key,
  files   integer not null,
  lines   integer not null
);
comment on table stdlib.found is 'Written by a walk over the files that knows nothing of tasks.';`

// insertCounts: $1 task, $2 package, $3 files, $4 lines, $5 functions, $6 exported names.
const insertCounts = `
insert into stdlib.counts (task_id, package, files, lines, functions, exported) values ($1, $2, $3, $4, $5, $6)`

// readRegistered: one row, whether the worker process with the pid $1 is there.
const readRegistered = `select exists (select from scheduler.workers where pid = $1)`

// readProgress: one row, how the tasks of kind $1 stand, and how many of any kind were given up.
const readProgress = `
select count(*) filter (where kind = $1) as tasks, count(*) filter (where kind = $1 and state = 'completed') as completed,
  count(*) filter (where state in ('failed', 'cancelled')) as given_up
from scheduler.tasks`

// readRunning: one row a worker, with what it runs of $1 kind.
const readRunning = `
select w.name as worker, w.pid, array_agg(t.payload ->> 'package' order by t.started_at, t.id) as packages,
  (array_agg(coalesce(t.progress_current, 0) order by t.started_at, t.id))[1] as current,
  (array_agg(coalesce(t.progress_total, 0) order by t.started_at, t.id))[1] as total
from scheduler.tasks t join scheduler.workers w on w.id = t.worker_id
where t.state = 'running' and t.kind = $1
group by w.id order by w.name`

// readConnections: one row, how many connections the application $1 has.
const readConnections = `select count(*) from pg_stat_activity where application_name = $1`

// readRescued: the lost attempts whose tasks have started again, with the seconds since $1.
const readRescued = `
select t.id, t.payload ->> 'package' as package, a.worker as lost_worker, a.attempt as lost_attempt, w.name as worker, t.attempt,
  extract(epoch from t.started_at - $1::timestamptz)::float8 as after
from scheduler.attempts a
join scheduler.tasks t on t.id = a.task_id and t.attempt > a.attempt
join scheduler.workers w on w.id = t.worker_id
where a.outcome = 'crashed'
order by t.started_at, t.id`

// readGivenUp: the first task that was given up.
const readGivenUp = `
select id::text, state::text, coalesce(error_code || ': ' || error, 'no error') from scheduler.tasks
where kind like 'stdlib.%' and state in ('failed', 'cancelled') order by id limit 1`

// readStuck: why the oldest task that is not done does not run.
const readStuck = `
select t.id::text, e.reason from (select id from scheduler.tasks
  where kind like 'stdlib.%' and state in ('blocked', 'scheduled', 'ready', 'running') order by id limit 1) t, scheduler.explain(t.id) e
order by e.rank limit 1`

// queryTotals, queryLargest and queryTasks are shown as they stand.
const queryTotals = `select count(*) as packages, sum(files) as files, sum(lines) as lines,
  sum(functions) as functions, sum(exported) as exported
from stdlib.counts`

const queryLargest = `select package, files, lines, functions, exported
from stdlib.counts order by lines desc limit 5`

const queryTasks = `select kind, state, count(*) as tasks, sum(attempt) as attempts, sum(crashes) as crashes,
  round(avg(extract(epoch from finished_at - started_at) * 1000)) as avg_ms,
  round(max(extract(epoch from finished_at - created_at) * 1000)) as last_after_ms
from scheduler.tasks group by kind, state order by min(created_at)`

// compare: one row; all but packages, files and lines should be 0. wrong: packages whose files or lines were miscounted, or that
// do not exist.
const compare = `
with counted as (
  select package, count(*) as times, sum(files) as files, sum(lines) as lines from stdlib.counts group by package
)
select count(f.package) as packages, coalesce(sum(f.files), 0) as files, coalesce(sum(f.lines), 0) as lines,
  count(*) filter (where c.package is null) as lost,
  count(*) filter (where c.times > 1) as twice,
  count(*) filter (where c.times = 1 and (f.package is null or (c.files, c.lines) <> (f.files, f.lines))) as wrong
from stdlib.found f full join counted c using (package)`
