package scheduler_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/scheduler"
)

const aTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// A traceparent reads the same by SQL as by HTTP and in Go: it is kept in the spelling of version 00, or ignored.
func TestTraceBySQL(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.subscribe("s", "a.#", "q")
	for _, given := range []string{aTrace, "", " ", "nonsense", aTrace[1:], aTrace + "0", aTrace + "-00", strings.ToUpper(aTrace),
		"ff" + aTrace[2:], "01" + aTrace[2:], "cc" + aTrace[2:53] + "ff", "cc" + aTrace[2:] + "-what the future brings", "cc" + aTrace[2:] + "0",
		aTrace[:53] + "00", aTrace[:53] + "02", aTrace[:53] + "03", aTrace[:53] + "04", aTrace[:53] + "09", aTrace[:53] + "0a", aTrace[:53] + "ff",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		aTrace + "\n", "\n" + aTrace, " " + aTrace, strings.ReplaceAll(aTrace, "-", "_"), "é" + aTrace[1:], "cc" + aTrace[2:] + "-" + strings.Repeat("é", 1<<16)} {
		want := scheduler.TraceParent(scheduler.WithTraceParent(r.ctx, given))
		id := read[string](r, `select scheduler.submit(kind => 'k', traceparent => $1)::text`, given)
		if got := read[string](r, `select coalesce(trace, '') from scheduler.tasks where id = $1::uuid`, id); got != want {
			t.Errorf("%.80q is stored as %q, want %q", given, got, want)
		}
		message := read[int64](r, `select scheduler.publish('a.b', traceparent => $1)`, given)
		if got := read[string](r, `select coalesce(trace, '') from scheduler.tasks where message_id = $1`, message); got != want {
			t.Errorf("%.80q is published as %q, want %q", given, got, want)
		}
	}
	if read[bool](r, `select exists (select from scheduler.tasks where id = scheduler.submit(kind => 'k') and trace is not null)`) {
		t.Error("a trace out of nothing")
	}
}

// A trace is no part of the request that an idempotency key stands for.
func TestTraceIsNoPartOfTheRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := read[string](r, `select scheduler.submit(kind => 'k', idempotency_key => 'a', traceparent => $1)::text`, aTrace)
	if again := read[string](r, `select scheduler.submit(kind => 'k', idempotency_key => 'a')::text`); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	message := read[int64](r, `select scheduler.publish('a', idempotency_key => 'a', traceparent => $1)`, aTrace)
	if again := read[int64](r, `select scheduler.publish('a', idempotency_key => 'a')`); again != message {
		t.Errorf("%d, then %d", message, again)
	}
}

// A worker gets the trace of a task that was submitted by SQL, and that of whoever triggered a schedule; a tick has none.
func TestTraceReachesTheWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	next := func() string {
		t.Helper()
		tasks := r.lease(worker, 2)
		if len(tasks) != 1 {
			t.Fatalf("%d tasks", len(tasks))
		}
		return tasks[0].TraceParent
	}
	read[string](r, `select scheduler.submit(kind => 'k', traceparent => $1)::text`, aTrace)
	if got := next(); got != aTrace {
		t.Errorf("by SQL: %q", got)
	}
	_, err := r.client.SetSchedule(r.ctx, scheduler.NewSchedule{Name: "s", Expression: "@yearly", Kind: "k"})
	must(t, err)
	for _, want := range []string{aTrace, ""} {
		_, err = r.client.TriggerSchedule(scheduler.WithTraceParent(r.ctx, want), "s")
		must(t, err)
		if got := next(); got != want {
			t.Errorf("triggered with %q: %q", want, got)
		}
	}
}

// Subscriptions that are written by SQL are held to what the API asks of them.
func TestSubscriptionsBySQL(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const insert = `insert into scheduler.subscriptions (name, pattern, kind, queue, max_attempts, timeout_ms, backoff_ms) values ($1, '#', $2, $3, $4, $5, $6)`
	for i, c := range []struct {
		kind, queue string
		attempts    int
		timeout     any
		backoff     any
		constraint  string // "": it is stored
	}{
		{"k", "q", 1, nil, nil, ""},
		{`A_.:/\-9`, "A_.-9", 1000, 1, []int64{0, 31557600000}, ""},
		{strings.Repeat("k", 128), strings.Repeat("q", 128), 10, int64(31557600000), make([]int64, 100), ""},
		{"", "q", 1, nil, nil, "_kind"},
		{"-k", "q", 1, nil, nil, "_kind"},
		{"k k", "q", 1, nil, nil, "_kind"},
		{"k\n", "q", 1, nil, nil, "_kind"},
		{strings.Repeat("k", 129), "q", 1, nil, nil, "_kind"},
		{"k", "", 1, nil, nil, "_queue"},
		{"k", "a/b", 1, nil, nil, "_queue"},
		{"k", strings.Repeat("q", 129), 1, nil, nil, "_queue"},
		{"k", "q", 0, nil, nil, "_max_attempts"},
		{"k", "q", 1001, nil, nil, "_max_attempts"},
		{"k", "q", 1, 0, nil, "_timeout_ms"},
		{"k", "q", 1, int64(31557600001), nil, "_timeout_ms"},
		{"k", "q", 1, nil, []int64{}, "_backoff_ms"},
		{"k", "q", 1, nil, []int64{-1}, "_backoff_ms"},
		{"k", "q", 1, nil, []int64{31557600001}, "_backoff_ms"},
		{"k", "q", 1, nil, make([]int64, 101), "_backoff_ms"},
		{"k", "q", 1, nil, [][]int64{{1}, {2}}, "_backoff_ms"},
		{"k", "q", 1, nil, []*int64{nil}, "_backoff_ms"},
	} {
		_, err := r.db.Exec(r.ctx, insert, fmt.Sprint("n", i), c.kind, c.queue, c.attempts, c.timeout, c.backoff)
		if broken := strings.TrimPrefix(constraintOf(err), "subscriptions"); broken != c.constraint {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// constraintOf returns the constraint that an error of the database is about; "": there is no error.
func constraintOf(err error) string {
	var broken *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &broken):
		return broken.ConstraintName
	}
	return err.Error()
}
