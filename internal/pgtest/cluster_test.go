package pgtest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgscheduler/scheduler/internal/privatepg"
)

// recorder is a test that only takes notes.
type recorder struct {
	testing.TB
	failed   bool
	said     strings.Builder
	ended    string
	cleanups []func()
}

func (r *recorder) Helper()                   {}
func (r *recorder) Failed() bool              { return r.failed }
func (r *recorder) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Logf(f string, a ...any)   { fmt.Fprintf(&r.said, f, a...) }
func (r *recorder) Errorf(f string, a ...any) { r.failed = true; r.Logf(f, a...) }
func (r *recorder) Fatalf(f string, a ...any) { r.end("failed", fmt.Sprintf(f, a...)) }
func (r *recorder) Skip(a ...any)             { r.end("skipped", fmt.Sprint(a...)) }

func (r *recorder) end(how, why string) {
	r.ended = how
	r.said.WriteString(why)
	runtime.Goexit()
}

// record runs f as a test of its own, and what it left to clean up.
func record(t *testing.T, f func(*recorder)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() { // ends with f
		defer close(done)
		f(r)
	}()
	<-done
	for _, cleanup := range slices.Backward(r.cleanups) {
		cleanup()
	}
	return r
}

// Changes the environment, so not in parallel.
func TestWithoutPostgreSQL(t *testing.T) {
	for _, test := range []struct {
		ci    string
		err   error
		ended string
	}{
		{"", nil, ""},
		{"", &privatepg.NotFoundError{Why: "none", Command: "install it"}, "skipped"},
		{"", fmt.Errorf("start: %w", &privatepg.NotFoundError{Why: "none", Command: "install it"}), "skipped"},
		{"true", &privatepg.NotFoundError{Why: "none", Command: "install it"}, "failed"},
		{"", errors.New("install it"), "failed"},
	} {
		t.Setenv("CI", test.ci)
		r := record(t, func(r *recorder) { check(r, test.err) })
		if r.ended != test.ended {
			t.Errorf("CI=%q, %v: %q, want %q", test.ci, test.err, r.ended, test.ended)
		}
		if test.err != nil && !strings.Contains(r.said.String(), "install it") {
			t.Errorf("CI=%q: said %q", test.ci, r.said.String())
		}
	}
}

// Changes the environment, so not in parallel.
func TestFailedTestKeepsItsDatabase(t *testing.T) {
	admin, err := cluster()
	check(t, err)
	t.Setenv(outside, admin) // as if it had been so from the beginning

	var kept, dropped string
	failed := record(t, func(r *recorder) { kept = nameOf(t, EmptyDB(r)); r.failed = true })
	passed := record(t, func(r *recorder) { dropped = nameOf(t, EmptyDB(r)) })
	if !exists(t, kept) || !strings.Contains(failed.said.String(), "psql '") || !strings.Contains(failed.said.String(), kept) {
		t.Errorf("failed test: database exists %v, said %q", exists(t, kept), failed.said.String())
	}
	if exists(t, dropped) || passed.said.Len() > 0 {
		t.Errorf("passed test: database exists %v, said %q", exists(t, dropped), passed.said.String())
	}
	if err := execute(t.Context(), admin, "drop database "+quote(kept)); err != nil {
		t.Error(err)
	}

	t.Setenv(outside, "")
	private := record(t, func(r *recorder) { kept = nameOf(t, EmptyDB(r)); r.failed = true })
	if exists(t, kept) || private.said.Len() > 0 {
		t.Errorf("failed test on a cluster that ends with the process: said %q", private.said.String())
	}
}

// Counts goroutines, so not in parallel.
func TestGoroutinesGetTimeToEnd(t *testing.T) {
	before := goleak.IgnoreCurrent()
	end := make(chan struct{})
	go func() { <-end }() // ends with end
	if left(0, before) == nil {
		t.Error("one is there, and is not found")
	}
	time.AfterFunc(time.Second, func() { close(end) })
	if err := left(patience, before); err != nil {
		t.Error(err)
	}
}

func TestServerIsItsTestsOwn(t *testing.T) {
	t.Parallel()
	server := Server(t, map[string]string{"work_mem": "5MB"})
	url := server.URL("scheduler")
	if got := value[string](t, connect(t, url), "select current_setting('work_mem')"); got != "5MB" {
		t.Errorf("work_mem %s", got)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := value[int](t, connect(t, url), "select 1"); got != 1 {
		t.Errorf("got %d", got)
	}
}
