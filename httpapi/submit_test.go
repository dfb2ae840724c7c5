package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestFreshTaskIsWhatIsStored compares the answer to a submit, which is made without asking the database again, with what
// the database then says.
func TestFreshTaskIsWhatIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for _, body := range []string{
		`{"kind":"x"}`,
		`{"kind":"x","payload":null}`,
		`{"kind":"x","payload":{"b":[1,2.50,"ü"],"a":null}}`,
		`{"kind":"a.b","queue":"q","priority":-32768,"max_attempts":1,"timeout_ms":1,"unique_key":"u","idempotency_key":"i","backoff_ms":[0,31557600000]}`,
		`{"kind":"x","run_at":"2030-01-01T00:00:00.123456789+02:00","expires_at":"2031-01-01T00:00:00.999999999Z"}`,
		`{"kind":"x","run_at":"1970-01-01T00:00:00Z"}`,
		`{"kind":"x","delay_ms":3155760000000}`,
		`{"kind":"x","delay_ms":0}`,
	} {
		fresh := r.post("/v1/tasks", body).want(202)
		stored := r.get(fresh.task().Links.Self).want(200)
		if diff := cmp.Diff(read[map[string]any](stored), read[map[string]any](fresh)); diff != "" {
			t.Errorf("%s: stored (-) and answered (+) differ:\n%s", body, diff)
		}
		if fresh.header.Get("ETag") != stored.header.Get("ETag") || fresh.header.Get("Location") != stored.task().Links.Self {
			t.Errorf("%s: headers differ: %v, %v", body, fresh.header, stored.header)
		}
	}
}

// TestSameSubmitAtOnce: fifty equal submits make one task, whichever way the key comes.
func TestSameSubmitAtOnce(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"Idempotency-Key", "X-Request-Id"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{})
			const n = 50
			answers := make([]answer, n)
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() { answers[i] = r.post("/v1/tasks", `{"kind":"x","payload":{"n":1}}`, header, "order-1") })
			}
			all.Wait()
			fresh := 0
			for _, a := range answers {
				if got := a.want(202).task(); got.ID != answers[0].task().ID {
					t.Errorf("two tasks: %s and %s", got.ID, answers[0].task().ID)
				}
				switch a.header.Get("Idempotency-Replayed") {
				case "":
					fresh++
				case "true":
				default:
					t.Errorf("Idempotency-Replayed: %q", a.header.Get("Idempotency-Replayed"))
				}
			}
			if fresh != 1 || r.count("tasks") != 1 {
				t.Errorf("%d fresh answers, %d tasks, want 1 and 1", fresh, r.count("tasks"))
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	first := r.submit(`{"kind":"x","payload":{"a":1,"b":2}}`, "Idempotency-Key", "k")
	for _, test := range []struct {
		name, body string
		headers    []string
	}{
		{"again", `{"kind":"x","payload":{"a":1,"b":2}}`, []string{"Idempotency-Key", "k"}},
		{"quoted", `{"kind":"x","payload":{"a":1,"b":2}}`, []string{"Idempotency-Key", `"k"`}},
		{"in the body", `{"kind":"x","payload":{"a":1,"b":2},"idempotency_key":"k"}`, nil},
		{"in both", `{"kind":"x","payload":{"a":1,"b":2},"idempotency_key":"k"}`, []string{"Idempotency-Key", "k"}},
		{"as the request id", `{"kind":"x","payload":{"a":1,"b":2}}`, []string{"X-Request-Id", "k"}},
		{"spelled otherwise", ` { "payload" : {"b":2, "a":1}, "kind":"x", "priority":0, "queue":"default", "max_attempts":10 } `, []string{"Idempotency-Key", "k"}},
		{"beside a proxy's request id", `{"kind":"x","payload":{"a":1,"b":2},"idempotency_key":"k"}`, []string{"X-Request-Id", "proxy-77"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := *r
			r.t = t
			a := r.post("/v1/tasks", test.body, test.headers...).want(202)
			if a.task().ID != first.ID || a.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("task %s with replayed %q, want %s with true", a.task().ID, a.header.Get("Idempotency-Replayed"), first.ID)
			}
		})
	}
	for name, body := range map[string]string{"kind": `{"kind":"y","payload":{"a":1,"b":2}}`, "payload": `{"kind":"x","payload":{"a":1,"b":3}}`,
		"priority": `{"kind":"x","payload":{"a":1,"b":2},"priority":1}`} {
		if p := r.post("/v1/tasks", body, "Idempotency-Key", "k").problem(CodeKeyReused); p.TaskID != first.ID {
			t.Errorf("another %s: the problem names task %q, want %s", name, p.TaskID, first.ID)
		}
	}
	// Keys belong to a queue.
	if other := r.submit(`{"kind":"x","queue":"other"}`, "Idempotency-Key", "k"); other.ID == first.ID {
		t.Error("a key of one queue stood in the way of another")
	}
	if n := r.count("tasks"); n != 2 {
		t.Errorf("%d tasks, want 2", n)
	}
}

// TestReplayShowsTheTaskAsItIs, with the status of the first time.
func TestReplayShowsTheTaskAsItIs(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.submit(`{"kind":"x"}`, "Idempotency-Key", "k")
	r.post(task.Links.Cancel, "").want(200)
	a := r.post("/v1/tasks", `{"kind":"x"}`, "Idempotency-Key", "k").want(202)
	if got := a.task(); got.State != "cancelled" || a.header.Get("Retry-After") != "" {
		t.Errorf("replayed as %s with Retry-After %q", got.State, a.header.Get("Retry-After"))
	}
}

func TestUniqueKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	first := r.submit(`{"kind":"x","unique_key":"report:42"}`)
	a := r.post("/v1/tasks", `{"kind":"y","unique_key":"report:42","payload":{"other":true}}`).want(200)
	if a.task().ID != first.ID || a.header.Get("Idempotency-Replayed") != "" || a.header.Get("Location") != first.Links.Self {
		t.Errorf("task %s, headers %v", a.task().ID, a.header)
	}
	r.post(first.Links.Cancel, "").want(200)
	if second := r.submit(`{"kind":"y","unique_key":"report:42"}`); second.ID == first.ID {
		t.Error("a final task still holds its unique key")
	}
	r.post(first.Links.Retry, "").problem(CodeUniqueConflict)
}

// TestPreferWaitNotApplied: a task that does not end in time is answered as it is, and not as a failure.
func TestPreferWaitNotApplied(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	a := r.post("/v1/tasks", `{"kind":"nobody.runs.this"}`, "Prefer", "wait=1").want(202)
	if a.task().State != "ready" || a.header.Get("Preference-Applied") != "" || a.header.Get("Retry-After") != "1" {
		t.Errorf("%s, headers %v", a.task().State, a.header)
	}
	read := r.get(a.task().Links.Self, "Prefer", "respond-async", "Prefer", "wait=1").want(200)
	if read.task().Done || read.header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("done %t, headers %v", read.task().Done, read.header)
	}
}

// lateReader gives its text only when a context has ended.
type lateReader struct {
	after context.Context
	text  io.Reader
}

func (r lateReader) Read(b []byte) (int, error) {
	<-r.after.Done()
	return r.text.Read(b)
}

// TestSlowBody: the time that a client takes to send is not taken from the time that the database has.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{}, func(s *server) { s.patience = 5 * time.Second })
	after, cancel := context.WithTimeout(t.Context(), r.server.patience+100*time.Millisecond)
	defer cancel()
	response, err := http.Post(r.url+"/v1/tasks", mediaJSON, lateReader{after, strings.NewReader(`{"kind":"x"}`)})
	if err != nil {
		t.Fatal(err)
	}
	received(t, response).want(202)
}

func TestBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	key := `{"kind":"keyed","idempotency_key":"k","payload":{"n":1}}`
	first := read[Page[Submitted]](r.post("/v1/tasks/batch", `[`+key+`,{"kind":"b","queue":"q2"},{"kind":"u","unique_key":"u"}]`).want(202)).Items
	if len(first) != 3 || first[1].Queue != "q2" || first[0].Replayed || first[2].Existing {
		t.Fatalf("%+v", first)
	}
	second := read[Page[Submitted]](r.post("/v1/tasks/batch", `[`+key+`,{"kind":"v","unique_key":"u"},{"kind":"c"}]`).want(202)).Items
	if len(second) != 3 || second[0].ID != first[0].ID || !second[0].Replayed || second[1].ID != first[2].ID || !second[1].Existing || second[2].Replayed {
		t.Errorf("%+v", second)
	}
	if n := r.count("tasks"); n != 4 {
		t.Errorf("%d tasks, want 4", n)
	}
	p := r.post("/v1/tasks/batch", `[{"kind":"d"},{"kind":"e"},{"kind":"keyed","idempotency_key":"k","payload":{"n":2}}]`).problem(CodeKeyReused)
	if p.TaskID != first[0].ID || p.Errors[0].Pointer != "/2/idempotency_key" {
		t.Errorf("%+v", p)
	}
	if n := r.count("tasks"); n != 4 {
		t.Errorf("%d tasks after a batch that was refused, want 4", n)
	}
}

// TestBatchOfTheLargestSize is stored in order and at once.
func TestBatchOfTheLargestSize(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	tasks := make([]string, maxBatch)
	for i := range tasks {
		tasks[i] = fmt.Sprintf(`{"kind":"k%d"}`, i)
	}
	list := read[Page[Submitted]](r.post("/v1/tasks/batch", "["+strings.Join(tasks, ",")+"]").want(202)).Items
	if len(list) != maxBatch || r.count("tasks") != maxBatch {
		t.Fatalf("%d answered, %d stored", len(list), r.count("tasks"))
	}
	for _, i := range []int{0, 1, 4999, maxBatch - 1} {
		if task := r.get("/v1/tasks/" + list[i].ID).want(200).task(); task.Kind != fmt.Sprintf("k%d", i) {
			t.Errorf("number %d is of kind %s", i, task.Kind)
		}
	}
}

// TestRequestRoundTrip: what the Go types of this package encode is what the API takes.
func TestRequestRoundTrip(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	delay, attempts := int64(1500), 4
	body, err := json.Marshal(SubmitRequest{Kind: "x", Payload: json.RawMessage(`{"a":1}`), Priority: 3, DelayMS: &delay, MaxAttempts: &attempts, BackoffMS: []int64{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	task := r.submit(string(body))
	stored, err := scheduler.ParseTaskID(task.ID)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.client.Task(t.Context(), stored)
	if err != nil || got.Priority != 3 || got.MaxAttempts != 4 || got.State != scheduler.Scheduled || len(got.BackoffMS) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	minimal, err := json.Marshal(SubmitRequest{Kind: "x"})
	if err != nil || string(minimal) != `{"kind":"x"}` {
		t.Errorf("a minimal request is %s, %v", minimal, err)
	}
	r.do(http.MethodPut, "/v1/schedules/s", `{"expression":"@hourly","kind":"x"}`).want(201)
}
