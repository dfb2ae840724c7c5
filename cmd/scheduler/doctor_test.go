package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
)

// examined runs doctor and returns its findings by check.
func examined(t *testing.T, c cli, code int) map[string]scheduler.Finding {
	t.Helper()
	return findings(t, c.run("doctor", "-o", "json"), code)
}

var slowNotification = regexp.MustCompile(`"check":"notifications","status":"(warn|fail)"|(?m)^(warn|fail)  notifications`)

// findings are what a doctor has said in JSON, by check.
func findings(t *testing.T, r result, code int) map[string]scheduler.Finding {
	t.Helper()
	if r.code != code {
		t.Errorf("exit %d, want %d\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	found := map[string]scheduler.Finding{}
	for _, f := range unmarshal[list[scheduler.Finding]](t, r.stdout).Items {
		found[f.Check] = f
		if (f.Status == scheduler.OK) != (f.Fix == "") || f.Detail == "" {
			t.Errorf("%+v: a fix belongs to what is not ok, and to that alone", f)
		}
	}
	return found
}

func TestDoctorOfAHealthyDatabase(t *testing.T) {
	t.Parallel()
	pg := pgtest.Server(t, map[string]string{"fsync": "on"})
	c := sqlDoor(t, pg.URL("scheduler"))
	c.ok("migrate")
	startWorker(t, pg.URL("scheduler"), "--demo")
	var asJSON, asText result
	proc.Await(t, "a notification arrives within a second, twice", func() bool { // not so on a machine that is very busy
		asJSON, asText = c.run("doctor", "-o", "json"), c.run("doctor")
		return !slowNotification.MatchString(asJSON.stdout) && !slowNotification.MatchString(asText.stdout)
	})
	found := findings(t, asJSON, exitOK)
	checks := []string{"connection", "schema", "notifications", "server", "primary", "durability", "clock", "workers", "leases", "due work", "snapshots", "notify queue", "dead rows"}
	for _, check := range checks {
		if found[check].Status != scheduler.OK {
			t.Errorf("%s: %+v", check, found[check])
		}
	}
	if len(found) != len(checks) {
		t.Errorf("%d checks, want %d", len(found), len(checks))
	}
	if lines := strings.Count(asText.stdout, "ok    "); asText.code != exitOK || lines != len(checks) || strings.Count(asText.stdout, "\n") != lines {
		t.Errorf("exit %d\n%s", asText.code, asText.stdout)
	}
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c, conn := sqlDoor(t, url), connect(t, url)
	execute(t, conn, `insert into scheduler.workers (id, name, queues, kinds, slots, ttl_ms, seen_at)
		values ($1, 'dead', '{default}', '{a}', 1, 15000, now() - interval '1 hour')`, nobody)
	execute(t, conn, "insert into scheduler.tasks (id, kind, state, attempt, worker_id) values ($1, 'a', 'running', 1, $1)", nobody)
	execute(t, conn, "insert into scheduler.leases (worker_id, queue, task_ids) values ($1, 'default', array[$1::uuid])", nobody)
	execute(t, conn, "insert into scheduler.tasks (kind, state, run_at) values ('a', 'scheduled', now() - interval '10 minutes')")
	found := examined(t, c, exitFailure)
	for check, want := range map[string]scheduler.Status{"workers": scheduler.Warn, "leases": scheduler.Fail, "due work": scheduler.Fail, "durability": scheduler.Warn, "schema": scheduler.OK} {
		if found[check].Status != want {
			t.Errorf("%s: %+v, want %s", check, found[check], want)
		}
	}
	r := c.run("doctor")
	if r.code != exitFailure || !threeLines.MatchString(r.stderr) || !strings.Contains(r.stdout, "fail  leases         1 running tasks without a live worker") ||
		!strings.Contains(r.stdout, "→ any worker or server gives them back") {
		t.Errorf("%+v", r)
	}
}

func TestDoctorWithoutSchemaOrDatabase(t *testing.T) {
	t.Parallel()
	found := examined(t, sqlDoor(t, pgtest.EmptyDB(t)), exitFailure)
	if found["connection"].Status != scheduler.OK || found["schema"].Status != scheduler.Fail || found["schema"].Fix != "scheduler migrate up" || len(found) != 2 {
		t.Errorf("no schema: %+v", found)
	}
	found = examined(t, sqlDoor(t, "postgres:///x?host=/nonexistent"), exitFailure)
	if fix := found["connection"].Fix; found["connection"].Status != scheduler.Fail || len(found) != 1 || fix == "" || strings.Contains(fix, "doctor") {
		t.Errorf("no database: %+v", found)
	}
}

// An old snapshot is seen while it is held, by whoever holds it.
func TestDoctorSeesASnapshot(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	conn := connect(t, url)
	tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // the connection is closed anyway
	if _, err := tx.Exec(t.Context(), "select 1"); err != nil {
		t.Fatal(err)
	}
	client, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	proc.Await(t, "the snapshot grows old", func() bool {
		h, err := client.Doctor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h.OldestSnapshotS > 0.05
	})
	if took, err := client.NotifyRoundTrip(t.Context()); err != nil || took <= 0 {
		t.Errorf("round trip %s, %v", took, err)
	}
}
