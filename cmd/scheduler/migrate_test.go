package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

func unmarshal[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

func TestMigrateFiveAtOnceThenAgain(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.EmptyDB(t))
	applied := make([]int, 5)
	var all sync.WaitGroup
	for i := range applied {
		all.Go(func() {
			out := unmarshal[migrated](t, c.ok("migrate", "-o", "json"))
			applied[i] = len(out.Applied)
			if out.Version != scheduler.SchemaVersion {
				t.Errorf("version %d", out.Version)
			}
		})
	}
	all.Wait()
	slices.Sort(applied)
	if want := []int{0, 0, 0, 0, int(scheduler.SchemaVersion)}; !slices.Equal(applied, want) {
		t.Errorf("applied %v, want %v: one does it all", applied, want)
	}
	if got := c.ok("migrate", "up"); got != fmt.Sprintf("the schema is up to date (version %d)", scheduler.SchemaVersion) {
		t.Errorf("again: %q", got)
	}
}

func TestMigrateStatusAndDown(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.EmptyDB(t))
	pending := c.run("migrate", "status", "-o", "json")
	status := unmarshal[migrationStatus](t, pending.stdout)
	if pending.code != exitSchema || status.Version != 0 || status.Latest != scheduler.SchemaVersion || len(status.Migrations) != int(scheduler.SchemaVersion) ||
		status.Migrations[0].AppliedAt != nil || status.Migrations[0].Name != "00001_tasks.sql" {
		t.Errorf("before: %+v", pending)
	}
	c.ok("migrate")
	if got := c.ok("migrate", "status"); strings.Contains(got, "pending") || strings.Count(got, "\n") != int(scheduler.SchemaVersion) {
		t.Errorf("status: %s", got)
	}

	for _, args := range []string{"down", "down --to -1 --yes", "down --to 99 --yes", "down --to 1", "sideways", "up now"} {
		c.fails(exitUsage, append([]string{"migrate"}, strings.Fields(args)...)...)
	}
	down := unmarshal[migrated](t, c.ok("migrate", "down", "--to", "3", "--yes", "-o", "json"))
	if down.Version != 3 || len(down.Applied) != int(scheduler.SchemaVersion)-3 || down.Applied[0].Version != scheduler.SchemaVersion {
		t.Errorf("down: %+v", down)
	}
	if stderr := c.fails(exitSchema, "tasks", "list"); !strings.Contains(stderr, "is at version 3 and this binary needs") || !strings.Contains(stderr, "run:   scheduler migrate up") {
		t.Errorf("older: %s", stderr)
	}
	c.ok("migrate", "down", "--to", "0", "--yes")
	if got := c.ok("migrate", "down", "--to", "0", "--yes"); !strings.HasPrefix(got, "there was nothing to undo") {
		t.Errorf("down again: %q", got)
	}
	c.ok("migrate")
}

// Every command that works on the schema says in the same words that it does not fit.
func TestSchemaThatDoesNotFit(t *testing.T) {
	t.Parallel()
	newer := pgtest.DB(t)
	execute(t, connect(t, newer), "insert into scheduler.goose_db_version (version_id, is_applied) values (99, true)")
	commands := []string{"tasks list", "worker --demo", "serve --listen 127.0.0.1:0", "submit x", "queues list"}
	for _, command := range commands {
		stderr := sqlDoor(t, newer).fails(exitSchema, strings.Fields(command)...)
		if !strings.Contains(stderr, "is at version 99 and this binary knows only") || !strings.Contains(stderr, "a newer scheduler") {
			t.Errorf("newer, %s: %s", command, stderr)
		}
	}
	for _, command := range append(commands, "migrate", "migrate status", "migrate down --to 1 --yes", "dev --listen 127.0.0.1:0") {
		if r := sqlDoor(t, newer).run(strings.Fields(command)...); r.code != exitSchema {
			t.Errorf("newer, %s: exit %d\n%s", command, r.code, r.stderr)
		}
	}
	none := pgtest.EmptyDB(t)
	for _, command := range commands {
		stderr := sqlDoor(t, none).fails(exitSchema, strings.Fields(command)...)
		if !strings.Contains(stderr, `has no schema "scheduler"`) || !strings.Contains(stderr, "run:   scheduler migrate up") {
			t.Errorf("none, %s: %s", command, stderr)
		}
	}
}

func TestMigrateDownAsksOnATerminal(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	ask := func(answer string) result {
		return inProcess{env: map[string]string{"SCHEDULER_DATABASE_URL": url}, stdinTerminal: true, stdin: answer}.run(t, "migrate", "down", "--to", "0")
	}
	for _, no := range []string{"no\n", "\n", "", "y\n"} {
		if r := ask(no); r.code != exitFailure || !strings.Contains(r.stderr, "Type yes") || !strings.Contains(r.stderr, "the answer was not yes") {
			t.Errorf("%q: %+v", no, r)
		}
	}
	sqlDoor(t, url).ok("tasks", "list")
	if r := ask("yes\n"); r.code != exitOK {
		t.Errorf("yes: %+v", r)
	}
	sqlDoor(t, url).fails(exitSchema, "tasks", "list")
}
