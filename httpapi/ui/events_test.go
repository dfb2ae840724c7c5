package ui_test

import (
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestEventsOfAttempts: attempts that failed and are tried again are in the tail, also of a task that is older than those which the
// tail looks at, and than many that failed before it did; the end of a task is there once.
func TestEventsOfAttempts(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.history()
	r.states()
	r.exec(`insert into scheduler.tasks (id, kind, created_at) select scheduler.uuidv7(), 'newer', now() - interval '1 h' from generate_series(1, 300)`)
	r.exec(`insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, started_at, ended_at, error)
		select scheduler.uuidv7(), n, 'q', 'newer', 'failed', gen_random_uuid(), now() - interval '1 h', now() - interval '1 h', 'newer tasks fail too' from generate_series(1, 300) n`)
	a := r.get("/events")
	for _, part := range []string{"attempt 3 on web-1, after 50 s: render page 7: font &#34;Inter&#34; not found", "worker lost", "attempt 2 on web-2", "attempt failed", "/tasks/" + id.String()} {
		if !strings.Contains(a.body, part) {
			t.Errorf("the tail lacks %q", part)
		}
	}
	if n := strings.Count(a.body, "attempt 10 on web-7"); n != 1 { // its start; its end is that of the task
		t.Errorf("attempt 10 is there %d times", n)
	}
}

// TestMissingTask: the page of a task that is not there says so.
func TestMissingTask(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	a := r.get("/tasks/" + scheduler.NewTaskID().String())
	if a.StatusCode != 404 || !strings.Contains(a.body, "There is no such task") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// TestDatabaseAway: pages say so and ask again by themselves, with or without script.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.away()
	for _, path := range paths {
		if a := r.get(path); a.StatusCode != 503 || !strings.Contains(a.body, `<meta http-equiv="refresh" content="5">`) || !strings.Contains(a.body, "database is not available") {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}
