package httpapi

import (
	"testing"
)

// The header traceparent is stored with the task, also of a batch; one that is none is ignored, and it is no part of what a key
// stands for.
func TestTraceParent(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	r := newRig(t, Config{})
	conn := r.connect()
	stored := func(id string) (trace *string) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), "select trace from scheduler.tasks where id = $1", id).Scan(&trace); err != nil {
			t.Fatal(err)
		}
		return trace
	}
	first := r.submit(`{"kind":"k"}`, "Traceparent", parent, "Idempotency-Key", "a")
	if got := stored(first.ID); got == nil || *got != parent {
		t.Errorf("%v", got)
	}
	if task := read[Task](r.get("/v1/tasks/" + first.ID)); task.TraceParent == nil || *task.TraceParent != parent || first.TraceParent == nil {
		t.Errorf("shown as %v, by the submit as %v", task.TraceParent, first.TraceParent)
	}
	if again := r.submit(`{"kind":"k"}`, "Idempotency-Key", "a"); again.ID != first.ID {
		t.Errorf("another trace makes another request")
	}
	for _, bad := range []string{"", "nonsense", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "ff" + parent[2:]} {
		if got := stored(r.submit(`{"kind":"k"}`, "Traceparent", bad).ID); got != nil {
			t.Errorf("%q is stored as %q", bad, *got)
		}
	}
	r.post("/v1/tasks/batch", `[{"kind":"b"},{"kind":"b"}]`, "Traceparent", parent).want(202)
	var n int
	if err := conn.QueryRow(t.Context(), "select count(*) from scheduler.tasks where kind = 'b' and trace = $1", parent).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d of 2, %v", n, err)
	}
	r.do("PUT", "/v1/schedules/s", `{"expression":"@yearly","kind":"s"}`).want(201)
	if task := r.post("/v1/schedules/s/trigger", "", "Traceparent", parent).want(202).task(); task.TraceParent == nil || *task.TraceParent != parent {
		t.Errorf("a trigger makes a task of %v", task.TraceParent)
	}
	if task := r.post("/v1/schedules/s/trigger", "").want(202).task(); task.TraceParent != nil {
		t.Errorf("a trace out of nothing: %s", *task.TraceParent)
	}
}
