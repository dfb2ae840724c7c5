package self_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/internal/load/self"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

const schemas = "select 'schemas', count(*) from pg_namespace where nspname = 'scheduler'"

func (r *rig) execute(statement string) {
	r.t.Helper()
	if _, err := r.db.Exec(r.t.Context(), statement); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) refused(config self.Config, want error) {
	r.t.Helper()
	config.DatabaseURL, config.Logger = r.url, slog.New(slog.DiscardHandler)
	stage, err := self.Enter(r.t.Context(), config)
	if err == nil {
		r.t.Error("it was let in", stage.Leave(r.t.Context()))
	}
	if !errors.Is(err, want) {
		r.t.Errorf("got %v, want %v", err, want)
	}
}

func TestStageOfItsOwnLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	if !r.stage.Fresh() {
		t.Error("the schema should be the stage's own")
	}
	r.run("drain", load.Options{Tasks: 200, Slots: 10})
	if err := r.stage.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "after Reset", r.states(), map[string]int{})
	r.leave(t.Context())
	equal(t, "after Leave", counts(t, r.db, schemas), map[string]int{"schemas": 0})
}

func TestStageOnASchemaThatIsThereLeavesItEmpty(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.DB(t))
	r.enter(self.Config{})
	results := r.run("e2e", load.Options{Tasks: 100, Slots: 10})
	if len(results["cold"].Notes) != 1 {
		t.Errorf("it was not cold, and nothing says so: %+v", results["cold"])
	}
	if err := r.stage.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "after Reset", r.states(), map[string]int{})
	r.run("drain", load.Options{Tasks: 200, Slots: 10})
	r.leave(t.Context())
	equal(t, "after Leave", r.states(), map[string]int{})
	equal(t, "lease rows", counts(t, r.db, "select 'leases', count(*) from scheduler.leases"), map[string]int{"leases": 0})
}

func TestDatabaseWithTasksIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.DB(t))
	r.execute("select scheduler.submit(kind => 'mail.send', queue => 'mail')")
	r.refused(self.Config{}, self.ErrHasTasks)
	equal(t, "states", r.states(), map[string]int{"ready": 1})
}

func TestStageAmongOthersTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.DB(t))
	r.execute("select scheduler.submit(kind => 'mail.send', queue => 'mail')")
	r.execute("select scheduler.submit(kind => 'bench.noop', queue => 'scheduler-bench-mine')")
	r.enter(self.Config{Among: true})
	results := r.run("drain", load.Options{Tasks: 200, Slots: 10})
	equal(t, "worked", results["work"].Tasks, int64(200))
	equal(t, "states", r.states(), map[string]int{"ready": 2, "completed": 200})
	r.leave(t.Context())
	equal(t, "after Leave", r.states(), map[string]int{"ready": 2})
}

func TestTwoStagesOnOneDatabase(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	r.refused(self.Config{}, self.ErrBusy)
	equal(t, "schemas", counts(t, r.db, schemas), map[string]int{"schemas": 1})
}

func TestWhatAKilledStageLeftIsRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	r.run("submit", load.Options{Tasks: 10, Clients: []int{1}})
	left := r.states()
	equal(t, "states", left, map[string]int{"ready": 11})
	r.execute("select pg_terminate_backend(l.pid, 10000) from pg_locks l where l.locktype = 'advisory' and l.pid <> pg_backend_pid()" +
		" and l.database = (select oid from pg_database where datname = current_database())")
	if err := r.stage.Leave(t.Context()); err == nil {
		t.Error("the connection was cut, and Leave says nothing")
	}
	r.enter(self.Config{})
	equal(t, "states", r.states(), map[string]int{})
	r.leave(t.Context())
	equal(t, "schemas", counts(t, r.db, schemas), map[string]int{"schemas": 0})
}

func TestSchemaOfItsOwnStaysWhenSomebodyElseUsesIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	r.execute("select scheduler.submit(kind => 'mail.send', queue => 'mail')")
	if err := r.stage.Leave(t.Context()); !errors.Is(err, self.ErrHasTasks) {
		t.Errorf("got %v", err)
	}
	equal(t, "states", r.states(), map[string]int{"ready": 1})
}

func TestSchemaOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.execute("create schema scheduler")
	config := self.Config{DatabaseURL: r.url}
	var mismatch *scheduler.SchemaError
	if _, err := self.Enter(t.Context(), config); !errors.As(err, &mismatch) {
		t.Errorf("got %v", err)
	}
	equal(t, "schemas", counts(t, r.db, schemas), map[string]int{"schemas": 1})
}

func TestEndOfContextEndsAWorkloadAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	ctx, cancel := context.WithCancel(t.Context())
	r.enter(self.Config{Progress: func(p load.Progress) {
		if p.Phase == "work" && p.Done > 0 {
			cancel()
		}
	}})
	err := r.stage.Run(ctx, "drain", load.Options{Tasks: 20_000, Slots: 10}, func(load.Result) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	r.leave(t.Context())
	equal(t, "schemas", counts(t, r.db, schemas), map[string]int{"schemas": 0})
	tick := time.NewTicker(20 * time.Millisecond) // PostgreSQL may still be at a statement that nobody waits for
	defer tick.Stop()
	for late := time.After(time.Minute); counts(t, r.db, "select 'others', count(*) from pg_stat_activity where datname = current_database()"+
		" and backend_type = 'client backend' and pid <> pg_backend_pid() and state = 'active'")["others"] > 0; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("connections are still at work")
		}
	}
}

// A statement that takes other arguments than the backlog gives it would be measured wrongly, or not at all.
func TestLeaseTakesTheArgumentsThatAreExplained(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // it only read
	statement, err := conn.Prepare(t.Context(), "lease", self.LeaseStatement)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "arguments", len(statement.ParamOIDs), self.LeaseArguments)
}
