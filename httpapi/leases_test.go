package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// hand is a remote worker of a test.
type hand struct {
	*rig
	id string
}

func (r *rig) hand() *hand { return &hand{r, scheduler.NewWorkerID().String()} }

// ask polls with further members of the body.
func (h *hand) ask(more string, headers ...string) Leases {
	h.t.Helper()
	return read[Leases](h.askRaw(more, headers...).want(200))
}

func (h *hand) askRaw(more string, headers ...string) answer {
	h.t.Helper()
	return h.post("/v1/leases", `{"worker":{"id":"`+h.id+`","name":"hand","language":"test"},"kinds":["k"]`+more+`}`, headers...)
}

// one leases one task, which must be there.
func (h *hand) one() Leased {
	h.t.Helper()
	got := h.ask("")
	if len(got.Leases) != 1 {
		h.t.Fatalf("%d leases, want 1", len(got.Leases))
	}
	return got.Leases[0]
}

func (h *hand) say(lease, verb, body string) answer {
	h.t.Helper()
	return h.post("/v1/leases/"+lease+"/"+verb, body)
}

func (h *hand) beat(leases ...string) Beat {
	h.t.Helper()
	raw, _ := json.Marshal(append([]string{}, leases...))
	return read[Beat](h.post("/v1/workers/"+h.id+"/heartbeat", `{"leases":`+string(raw)+`,"memory_bytes":123}`).want(200))
}

func TestALeaseIsWorkedOnAndCompleted(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	task := r.submit(`{"kind":"k","payload":{"a":1},"timeout_ms":60000,"priority":3}`, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	got := h.ask(`,"ttl_ms":5000,"held":[]`)
	if len(got.Leases) != 1 || got.Worker.ID != h.id || got.Worker.State != "run" || got.Worker.TTLMS != 5000 || got.Worker.ExpiresAt.IsZero() {
		t.Fatalf("%+v", got)
	}
	its := got.Leases[0]
	if its.Task.ID != task.ID || its.Task.Attempt != 1 || string(its.Task.Payload) != `{"a": 1}` && string(its.Task.Payload) != `{"a":1}` || *its.Task.TimeoutMS != 60000 ||
		its.Task.Priority != 3 || its.Task.TraceParent == nil || its.Task.Checkpoint != nil && string(its.Task.Checkpoint) != "null" {
		t.Errorf("%+v %s", its.Task, its.Task.Payload)
	}
	beat := read[LeaseHeartbeat](h.say(its.Lease, "heartbeat", `{"progress":{"current":1,"total":4,"message":"quarter","data":{"x":1}},
		"logs":["plain",{"message":"to stderr","stream":"stderr"}],"checkpoint":{"page":7}}`).want(200))
	if beat.State != "run" || beat.Cancelled || beat.ExpiresAt.IsZero() {
		t.Errorf("%+v", beat)
	}
	if p := r.get("/v1/tasks/" + task.ID).want(200).task().Progress; p == nil || p.Current != 1 || *p.Total != 4 || *p.Message != "quarter" {
		t.Errorf("%+v", p)
	}
	if done := read[Settled](h.say(its.Lease, "complete", `{"result":{"ok":true},"logs":["last"]}`).want(200)); done.State != "completed" {
		t.Errorf("%+v", done)
	}
	after := r.get("/v1/tasks/" + task.ID).want(200).task()
	if after.State != "completed" || !strings.Contains(string(after.Result), "true") {
		t.Errorf("%+v", after)
	}
	lines := read[Page[LogLine]](r.get("/v1/tasks/" + task.ID + "/logs").want(200))
	var text []string
	for _, line := range lines.Items {
		text = append(text, line.Stream+" "+line.Message)
	}
	if strings.Join(text, ", ") != "log plain, stderr to stderr, log last" {
		t.Error(text)
	}
	h.say(its.Lease, "complete", `{"result":{"ok":true}}`).want(200) // again: the answer was lost
	for _, verb := range []string{"heartbeat", "fail", "release"} {
		h.say(its.Lease, verb, "").problem(CodeLeaseLost)
	}
	if b := h.beat(its.Lease); len(b.Lost) != 1 || b.ExpiresAt == nil {
		t.Errorf("%+v", b)
	}
	r.do("DELETE", "/v1/workers/"+h.id, "").want(204)
	r.do("DELETE", "/v1/workers/"+h.id, "").want(204)
	if b := h.beat(its.Lease); b.ExpiresAt != nil || b.State != "run" || len(b.Lost) != 1 {
		t.Errorf("%+v", b)
	}
}

func TestALeaseFailsAndIsReleased(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	for _, test := range []struct{ verb, body, state string }{
		{"fail", `{"error":{"code":"boom","message":"no","stack":"s"},"retryable":false}`, "failed"},
		{"fail", `{"error":{"message":"later"},"retry_after_ms":60000,"checkpoint":[1]}`, "scheduled"},
		{"fail", `{"retry_after_ms":0}`, "ready"},
		{"release", `{"delay_ms":60000,"reason":"rate limited"}`, "scheduled"},
		{"release", ``, "ready"},
	} {
		task := r.submit(`{"kind":"k"}`)
		its := h.one()
		for range 2 { // the second: as if the first answer had been lost
			if got := read[Settled](h.say(its.Lease, test.verb, test.body).want(200)); got.State != test.state {
				t.Errorf("%s %s: %s, want %s", test.verb, test.body, got.State, test.state)
			}
		}
		h.say(its.Lease, "complete", "").problem(CodeLeaseLost)
		if got := r.get(task.Links.Self).task(); got.State != test.state {
			t.Errorf("%s: %s", test.verb, got.State)
		}
		r.exec(`update scheduler.tasks set state = 'cancelled', finished_at = now() where state in ('ready', 'scheduled')`)
	}
}

func TestAPollWaitsForATask(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	if got := h.ask(""); len(got.Leases) != 0 {
		t.Fatalf("%+v", got)
	}
	came := make(chan Leases, 1)
	go func() { came <- h.ask("", "Prefer", "wait=30") }()
	await(t, "the poll waits", func() bool { return r.client.Counts().Polls == 1 })
	task := r.submit(`{"kind":"k"}`)
	if got := <-came; len(got.Leases) != 1 || got.Leases[0].Task.ID != task.ID {
		t.Errorf("%+v", got)
	}
	if n := r.client.Counts().Polls; n != 0 {
		t.Errorf("%d polls wait", n)
	}
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(30 * time.Second); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func TestABatchIsAnsweredItemByItem(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	for range 6 {
		r.submit(`{"kind":"k"}`)
	}
	got := h.ask(`,"max":500`).Leases
	if len(got) != 6 {
		t.Fatalf("%d leases", len(got))
	}
	items := `{"items":[
		{"lease":"` + got[0].Lease + `","op":"complete","result":1},
		{"lease":"` + got[0].Lease + `","op":"complete","result":1},
		{"lease":"` + got[1].Lease + `","op":"fail","error":{"message":"x"},"retryable":false},
		{"lease":"` + got[2].Lease + `","op":"release"},
		{"lease":"` + got[3].Lease + `","op":"heartbeat","progress":{"current":1}},
		{"lease":"nonsense","op":"complete"},
		{"lease":"` + got[4].Lease + `","op":"dance"},
		{"lease":"` + got[4].Lease + `","op":"complete","result":"\u0000"},
		{"lease":"` + got[4].Lease + `","op":"complete","retryable":true},
		{"lease":"` + got[1].Lease + `","op":"complete"},
		7]}`
	results := read[LeaseResults](r.post("/v1/leases/batch", items).want(200)).Results
	want := []struct {
		status int
		state  string
		code   Code
	}{{200, "completed", ""}, {200, "completed", ""}, {200, "failed", ""}, {200, "ready", ""}, {200, "run", ""}, {422, "", CodeValidationFailed},
		{422, "", CodeValidationFailed}, {400, "", CodeMalformedJSON}, {422, "", CodeValidationFailed}, {409, "", CodeLeaseLost}, {422, "", CodeValidationFailed}}
	if len(results) != len(want) {
		t.Fatalf("%d results", len(results))
	}
	for i, w := range want {
		if got := results[i]; got.Status != w.status || got.State != w.state || got.Code != w.code {
			t.Errorf("%d: %+v, want %+v", i, got, w)
		}
	}
	for _, body := range []string{`{}`, `{"items":[]}`, `{"items":7}`, `{"items":[],"x":1}`, `[]`, `7`} {
		if a := r.post("/v1/leases/batch", body); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
}
