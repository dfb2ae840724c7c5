package scheduler_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
)

func TestParseIDs(t *testing.T) {
	t.Parallel()
	const spelled = "01a1fbc0-c975-7f37-a6be-a8f3e8777fbf"
	for _, text := range []string{spelled, strings.ToUpper(spelled)} {
		id, err := scheduler.ParseTaskID(text)
		if err != nil || id.String() != spelled || id.IsZero() {
			t.Errorf("%s: %s, %v", text, id, err)
		}
		if worker, err := scheduler.ParseWorkerID(text); err != nil || worker.String() != spelled || worker.IsZero() {
			t.Errorf("%s: %s, %v", text, worker, err)
		}
	}
	for _, text := range []string{"", "1", spelled[1:], spelled + "0", "{" + spelled + "}", "urn:uuid:" + spelled, strings.ReplaceAll(spelled, "-", ""),
		strings.Replace(spelled, "0", "g", 1), strings.Replace(spelled, "-", "_", 1), strings.Repeat("x", 100000)} {
		_, err := scheduler.ParseTaskID(text)
		_, err2 := scheduler.ParseWorkerID(text)
		if !errors.Is(err, scheduler.ErrInvalid) || !errors.Is(err2, scheduler.ErrInvalid) || len(err.Error()) > 250 {
			t.Errorf("%.60q: %.300v, %.300v", text, err, err2)
		}
	}
}

func TestIDsAsText(t *testing.T) {
	t.Parallel()
	type ids struct {
		Task   scheduler.TaskID
		Worker scheduler.WorkerID
	}
	want := ids{scheduler.NewTaskID(), scheduler.NewWorkerID()}
	raw, err := json.Marshal(want)
	must(t, err)
	var got ids
	if err := json.Unmarshal(raw, &got); err != nil || got != want || !strings.Contains(string(raw), `"`+want.Task.String()+`"`) {
		t.Errorf("%s: %+v, %v", raw, got, err)
	}
	if err := json.Unmarshal([]byte(`{"Task":"nonsense"}`), &got); !errors.Is(err, scheduler.ErrInvalid) {
		t.Errorf("nonsense: %v", err)
	}
	if !(scheduler.TaskID{}).IsZero() || !(scheduler.WorkerID{}).IsZero() || want.Task.IsZero() || want.Worker.IsZero() {
		t.Error("only the zero value names nothing")
	}
	if a, b := scheduler.NewWorkerID(), scheduler.NewWorkerID(); a == b {
		t.Error("workers' ids repeat")
	}
}

// What people read.
func TestTextsOfErrors(t *testing.T) {
	t.Parallel()
	id, err := scheduler.ParseTaskID("01a1fbc0-c975-7f37-a6be-a8f3e8777fbf")
	must(t, err)
	for _, c := range []struct {
		err  error
		text string
	}{
		{&scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: "kind", Rule: "short"}, {Field: "3.queue", Rule: "shorter"}}}, "invalid kind: short; 3.queue: shorter"},
		{&scheduler.KeyReusedError{Key: "a\nb", Task: id}, `idempotency key "a\nb" was first used with a different request, for task 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf`},
		{&scheduler.StateError{Task: id, State: scheduler.Running, Verb: "delete"}, "cannot delete task 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf: it is running"},
	} {
		if got := c.err.Error(); got != c.text {
			t.Errorf("%s\nwant %s", got, c.text)
		}
	}
}
