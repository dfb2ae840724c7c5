//go:build unix

package crash

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
)

// ledger is a migrated database with books of its own about the tasks of kind tx (and zombie).
type ledger struct {
	t      *testing.T
	url    string
	db     *pgxpool.Pool
	client *scheduler.Client

	mu       sync.Mutex
	accepted []scheduler.TaskID // acknowledged, not in the book yet
}

const books = `
create schema ledger;
create table ledger.accepted (task_id uuid primary key);
create table ledger.effects (task_id uuid not null, attempt integer not null, unique (task_id, attempt));
create table ledger.changes (n bigint generated always as identity, task_id uuid not null, attempt integer not null,
  old scheduler.task_state not null, new scheduler.task_state not null);
create table ledger.gate (open boolean);
create table ledger.begun (task_id uuid not null);
create table ledger.verdicts (task_id uuid not null, verb text not null, error text, cause text);
create function ledger.note() returns trigger language plpgsql as $$ begin
  insert into ledger.changes (task_id, attempt, old, new) values (new.id, new.attempt, old.state, new.state);
  return null;
end $$;
create trigger ledger_note after update on scheduler.tasks for each row when (old.state is distinct from new.state)
  execute function ledger.note();`

func openLedger(t *testing.T, url string) *ledger {
	t.Helper()
	l := &ledger{t: t, url: url}
	var err error
	if l.db, err = pgxpool.New(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.db.Close)
	l.exec(books)
	if l.client, err = scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.client.Close)
	return l
}

func (l *ledger) exec(statement string, args ...any) {
	l.t.Helper()
	if _, err := l.db.Exec(l.t.Context(), statement, args...); err != nil {
		l.t.Fatalf("%s: %v", statement, err)
	}
}

// read returns the one value of a query.
func read[T any](l *ledger, query string, args ...any) T {
	l.t.Helper()
	rows, err := l.db.Query(l.t.Context(), query, args...)
	if err != nil {
		l.t.Fatalf("%s: %v", query, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		l.t.Fatalf("%s: %v", query, err)
	}
	return v
}

// silent makes the workers that are registered look as if they had been silent for long.
func (l *ledger) silent() {
	l.t.Helper()
	l.exec(`update scheduler.workers set seen_at = seen_at - interval '1 hour'`)
}

// submit enters tasks, and in the book what was acknowledged.
func (l *ledger) submit(tasks ...scheduler.NewTask) []scheduler.TaskID {
	l.t.Helper()
	list, err := l.client.SubmitMany(l.t.Context(), tasks)
	if err != nil {
		l.t.Fatal(err)
	}
	ids := make([]scheduler.TaskID, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	l.accept(ids...)
	l.book()
	return ids
}

// accept notes ids that were acknowledged; book writes them down.
func (l *ledger) accept(ids ...scheduler.TaskID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = append(l.accepted, ids...)
}

func (l *ledger) book() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exec(`insert into ledger.accepted select unnest($1::uuid[])`, l.accepted)
	l.accepted = nil
}

// effects counts the tasks that left theirs.
func (l *ledger) effects() int {
	l.t.Helper()
	return read[int](l, `select count(*) from ledger.effects`)
}

// wrongs are what the books must not show; each query counts them.
var wrongs = []struct{ what, query string }{
	{"accepted tasks are missing", `select count(*) from ledger.accepted a where not exists (select from scheduler.tasks t where t.id = a.task_id)`},
	{"accepted tasks are not completed", `select count(*) from ledger.accepted a join scheduler.tasks t on t.id = a.task_id where t.state <> 'completed'`},
	{"tasks were accepted by nobody", `select count(*) from scheduler.tasks t where t.kind = 'tx' and not exists (select from ledger.accepted a where a.task_id = t.id)`},
	{"tasks have no effect", `select count(*) from ledger.accepted a where not exists (select from ledger.effects e where e.task_id = a.task_id)`},
	{"tasks have more than one effect", `select count(*) from (select from ledger.effects group by task_id having count(*) > 1) s`},
	{"effects are of another attempt than the one that completed",
		`select count(*) from ledger.effects e join scheduler.tasks t on t.id = e.task_id where t.attempt <> e.attempt`},
	{"effects are of no task", `select count(*) from ledger.effects e where not exists (select from scheduler.tasks t where t.id = e.task_id)`},
	{"times a final state was left", `select count(*) from ledger.changes where old in ('completed', 'failed', 'cancelled')`},
	{"tasks became final more than once", `select count(*) from (select from ledger.changes
		where new in ('completed', 'failed', 'cancelled') group by task_id having count(*) > 1) s`},
	{"leases did not raise the attempt by one", `select count(*) from (select attempt - coalesce(lag(attempt) over (partition by task_id order by n), 0) as step
		from ledger.changes where new = 'running') s where step <> 1`},
	{"tasks whose attempts are not all in the history, once each", `select count(*) from scheduler.tasks t
		where t.state = 'completed' and t.attempt - 1 <> (select count(*) from scheduler.attempts a where a.task_id = t.id and a.attempt < t.attempt)`},
}

// audit returns what is wrong by the books, nothing when nothing is.
func (l *ledger) audit() []string {
	l.t.Helper()
	var found []string
	for _, w := range wrongs {
		if n := read[int](l, w.query); n != 0 {
			found = append(found, fmt.Sprintf("%d %s", n, w.what))
		}
	}
	return found
}

// mustBalance fails the test for each thing that is wrong.
func (l *ledger) mustBalance() {
	l.t.Helper()
	for _, finding := range l.audit() {
		l.t.Error(finding)
	}
}

// outcomes says how attempts ended, for people.
func (l *ledger) outcomes() string {
	l.t.Helper()
	return read[string](l, `select coalesce(string_agg(format('%s %s', n, outcome), ', '), 'none') from
		(select outcome, count(*) as n from scheduler.attempts group by outcome order by outcome) s`)
}

// The audit notices each way in which the books can be wrong.
func TestAuditNoticesCorruption(t *testing.T) {
	t.Parallel()
	l := openLedger(t, pgtest.DB(t))
	for range 10 {
		l.submit(scheduler.NewTask{Kind: "tx"})
	}
	p := start(t, orders{URL: l.url, Name: "honest"})
	proc.Await(t, "ten effects", func() bool { return l.effects() == 10 })
	p.Signal(syscall.SIGTERM)
	p.Exit()
	if findings := l.audit(); findings != nil {
		t.Fatalf("wrong before anything was corrupted: %q", findings)
	}
	const one = `(select task_id from ledger.accepted order by task_id limit 1)`
	reopen := `update scheduler.tasks set state = 'ready' where id = ` + one
	for _, c := range []struct {
		name      string
		corrupt   []string
		noticed   []string
		unnoticed bool
	}{
		{name: "an effect is dropped", corrupt: []string{`delete from ledger.effects where task_id = ` + one},
			noticed: []string{"1 tasks have no effect"}},
		{name: "an effect is doubled", corrupt: []string{`insert into ledger.effects select task_id, attempt + 1 from ledger.effects where task_id = ` + one},
			noticed: []string{"1 tasks have more than one effect", "1 effects are of another attempt than the one that completed"}},
		{name: "an effect is of another attempt", corrupt: []string{`update ledger.effects set attempt = 7 where task_id = ` + one},
			noticed: []string{"1 effects are of another attempt than the one that completed"}},
		{name: "a final task is reopened", corrupt: []string{reopen},
			noticed: []string{"1 accepted tasks are not completed", "1 times a final state was left"}},
		{name: "a final task is reopened and done again", corrupt: []string{reopen,
			`update scheduler.tasks set state = 'running', attempt = attempt + 1 where id = ` + one,
			`update scheduler.tasks set state = 'completed' where id = ` + one},
			noticed: []string{"1 effects are of another attempt than the one that completed", "1 times a final state was left",
				"1 tasks became final more than once", "1 tasks whose attempts are not all in the history, once each"}},
		{name: "a task is leased twice under one number", corrupt: []string{reopen,
			`update scheduler.tasks set state = 'running' where id = ` + one, `update scheduler.tasks set state = 'completed' where id = ` + one},
			noticed: []string{"1 times a final state was left", "1 tasks became final more than once", "1 leases did not raise the attempt by one"}},
		{name: "a task vanishes", corrupt: []string{`delete from scheduler.tasks where id = ` + one},
			noticed: []string{"1 accepted tasks are missing", "1 effects are of no task"}},
		{name: "a task is there that nobody submitted", corrupt: []string{`insert into scheduler.tasks (kind) values ('tx')`},
			noticed: []string{"1 tasks were accepted by nobody"}},
		{name: "an attempt is in the history that never was", corrupt: []string{`insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, started_at)
			select task_id, 0, 'default', 'tx', 'crashed', task_id, now() from ledger.effects where task_id = ` + one},
			noticed: []string{"1 tasks whose attempts are not all in the history, once each"}},
	} {
		t.Run(c.name, func(t *testing.T) { // one after the other, each undone
			found := l.corrupted(t, c.corrupt)
			if diff := cmp.Diff(c.noticed, found); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// corrupted returns what the audit finds after the statements, which are rolled back.
func (l *ledger) corrupted(t *testing.T, statements []string) (found []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tx, err := l.db.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx) // the corruption
	for _, statement := range append([]string{`alter table scheduler.tasks disable trigger tasks_transition`}, statements...) {
		if _, err := tx.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for _, w := range wrongs {
		var n int
		if err := tx.QueryRow(ctx, w.query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", w.query, err)
		}
		if n != 0 {
			found = append(found, fmt.Sprintf("%d %s", n, w.what))
		}
	}
	return found
}
