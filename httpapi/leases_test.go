package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
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
	for limit := time.Now().Add(2 * time.Minute); !holds(); <-tick.C {
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

// A client that goes away while it waits is taken out.
func TestAClientThatGoesAwayIsTakenOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		request, _ := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/leases", strings.NewReader(`{"kinds":["k"]}`))
		request.Header.Set("Prefer", "wait=60")
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	await(t, "it waits", func() bool { return r.client.Counts().Polls == 1 })
	leave()
	<-ended
	await(t, "it is taken out", func() bool { return r.client.Counts().Polls == 0 })
	r.submit(`{"kind":"k"}`)
	if its := r.hand().one(); its.Task.Attempt != 1 {
		t.Errorf("attempt %d", its.Task.Attempt)
	}
}

func TestBadCallsOfRemoteWorkers(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	many := func(n int, what string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(what+",", n), ",") + "]"
	}
	some := scheduler.Lease{Task: scheduler.NewTaskID(), Queue: "q", Worker: scheduler.NewWorkerID(), Attempt: 1}.Token()
	for _, test := range []struct {
		path, body string
		code       Code
		where      string
	}{
		{"/v1/leases", ``, CodeMalformedJSON, ""},
		{"/v1/leases", `{`, CodeMalformedJSON, ""},
		{"/v1/leases", `{}`, CodeValidationFailed, "/kinds"},
		{"/v1/leases", `{"kinds":[]}`, CodeValidationFailed, "/kinds"},
		{"/v1/leases", `{"kinds":["a b"]}`, CodeValidationFailed, "/kinds/0"},
		{"/v1/leases", `{"kinds":"a"}`, CodeValidationFailed, "/kinds"},
		{"/v1/leases", `{"kinds":` + many(501, `"a"`) + `}`, CodeValidationFailed, "/kinds"},
		{"/v1/leases", `{"kinds":["a"],"queues":[]}`, CodeValidationFailed, "/queues"},
		{"/v1/leases", `{"kinds":["a"],"queues":["a","b c"]}`, CodeValidationFailed, "/queues/1"},
		{"/v1/leases", `{"kinds":["a"],"queues":` + many(65, `"a"`) + `}`, CodeValidationFailed, "/queues"},
		{"/v1/leases", `{"kinds":["a"],"max":0}`, CodeValidationFailed, "/max"},
		{"/v1/leases", `{"kinds":["a"],"max":501}`, CodeValidationFailed, "/max"},
		{"/v1/leases", `{"kinds":["a"],"ttl_ms":4999}`, CodeValidationFailed, "/ttl_ms"},
		{"/v1/leases", `{"kinds":["a"],"ttl_ms":86400001}`, CodeValidationFailed, "/ttl_ms"},
		{"/v1/leases", `{"kinds":["a"],"nope":1}`, CodeValidationFailed, "/nope"},
		{"/v1/leases", `{"kinds":["a"],"worker":{"nope":1}}`, CodeValidationFailed, "/worker/nope"},
		{"/v1/leases", `{"kinds":["a"],"worker":{"id":"x"}}`, CodeValidationFailed, "/worker/id"},
		{"/v1/leases", `{"kinds":["a"],"worker":{"id":"00000000-0000-0000-0000-000000000000"}}`, CodeValidationFailed, "/worker/id"},
		{"/v1/leases", `{"kinds":["a"],"worker":{"name":"\u0000"}}`, CodeMalformedJSON, "/worker"},
		{"/v1/leases", `{"kinds":["a"],"held":["x"]}`, CodeValidationFailed, "/held/0"},
		{"/v1/leases?wait=3", `{"kinds":["a"]}`, CodeValidationFailed, ""},
		{"/v1/workers/x/heartbeat", `{}`, CodeValidationFailed, ""},
		{"/v1/workers/" + scheduler.NewWorkerID().String() + "/heartbeat", `{"leases":["x"]}`, CodeValidationFailed, "/leases/0"},
		{"/v1/workers/" + scheduler.NewWorkerID().String() + "/heartbeat", `{"memory_bytes":-1}`, CodeValidationFailed, "/memory_bytes"},
		{"/v1/leases/x/complete", ``, CodeValidationFailed, ""},
		{"/v1/leases/" + some + ".x/complete", ``, CodeValidationFailed, ""},
		{"/v1/leases/" + some + "/dance", ``, CodeNotFound, ""},
		{"/v1/leases/" + some + "/complete", `7`, CodeValidationFailed, ""},
		{"/v1/leases/" + some + "/complete", `{"result":"\ud800"}`, CodeMalformedJSON, "/result"},
		{"/v1/leases/" + some + "/complete", `{"result":"` + strings.Repeat("x", 300_000) + `"}`, CodeValidationFailed, "/result"},
		{"/v1/leases/" + some + "/complete", `{"checkpoint":1}`, CodeValidationFailed, "/checkpoint"},
		{"/v1/leases/" + some + "/heartbeat", `{"logs":` + many(1001, `"a"`) + `}`, CodeValidationFailed, "/logs"},
		{"/v1/leases/" + some + "/heartbeat", `{"logs":[7]}`, CodeValidationFailed, "/logs/0"},
		{"/v1/leases/" + some + "/heartbeat", `{"logs":[{"stream":"log"}]}`, CodeValidationFailed, "/logs/0"},
		{"/v1/leases/" + some + "/heartbeat", `{"logs":[{"message":"m","stream":"x"}]}`, CodeValidationFailed, "/logs/0"},
		{"/v1/leases/" + some + "/heartbeat", `{"progress":{"current":"1"}}`, CodeValidationFailed, "/progress/current"},
		{"/v1/leases/" + some + "/heartbeat", `{"progress":{"data":"` + strings.Repeat("x", 300_000) + `"}}`, CodeValidationFailed, "/progress/data"},
		{"/v1/leases/" + some + "/fail", `{"error":"x"}`, CodeValidationFailed, "/error"},
		{"/v1/leases/" + some + "/fail", `{"retry_after_ms":-1}`, CodeValidationFailed, "/retry_after_ms"},
		{"/v1/leases/" + some + "/release", `{"delay_ms":1e300}`, CodeValidationFailed, "/delay_ms"},
		{"/v1/leases/batch", `{"items":` + many(501, `{}`) + `}`, CodeValidationFailed, "/items"},
	} {
		p := r.post(test.path, test.body).problem(test.code)
		if test.where != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != test.where) {
			t.Errorf("%s %.80s: %+v, want %s", test.path, test.body, p.Errors, test.where)
		}
	}
	r.do("DELETE", "/v1/workers/x", "").problem(CodeValidationFailed)
	for _, verb := range []string{"heartbeat", "complete", "fail", "release"} { // a stale lease
		r.post("/v1/leases/"+some+"/"+verb, "").problem(CodeLeaseLost)
	}
}

// Five hundred of all sorts in one call.
func TestALargeMixedBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	raw, _ := json.Marshal(slices.Repeat([]map[string]string{{"kind": "k"}}, 500))
	r.post("/v1/tasks/batch", string(raw)).want(202)
	leases := h.ask(`,"max":500,"held":[]`).Leases
	if len(leases) != 500 {
		t.Fatalf("%d leases", len(leases))
	}
	ops := []string{`"op":"complete","result":{"žluťoučký 🐎":"\n"}`, `"op":"fail","error":{"message":"no"},"retryable":false,"checkpoint":{"at":1}`, `"op":"fail","retry_after_ms":60000`,
		`"op":"release","delay_ms":60000,"reason":"later"`, `"op":"heartbeat","progress":{"current":1,"total":2},"logs":["a","b"],"checkpoint":7`}
	states := []string{"completed", "failed", "scheduled", "scheduled", "run"}
	items := make([]string, len(leases))
	for i, its := range leases {
		items[i] = `{"lease":"` + its.Lease + `",` + ops[i%len(ops)] + `}`
	}
	for range 2 { // the second: as if the first answer had been lost
		for i, result := range read[LeaseResults](r.post("/v1/leases/batch", `{"items":[`+strings.Join(items, ",")+`]}`).want(200)).Results {
			if result.Status != 200 || result.State != states[i%len(ops)] {
				t.Fatalf("%d: %+v", i, result)
			}
		}
	}
	for state, want := range map[string]bool{"completed": true, "failed": true, "scheduled": true, "running": true, "ready": false} {
		if got := len(read[Page[Task]](r.get("/v1/tasks?state="+state).want(200)).Items) > 0; got != want {
			t.Errorf("tasks that are %s: %v", state, got)
		}
	}
}

// A worker that was silent for too long has lost its lease: each verb says so, and somebody else has the task.
func TestASilentWorkerHasLostItsLease(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	task := r.submit(`{"kind":"k"}`)
	its := h.one()
	r.say(its.Lease, "heartbeat", `{"checkpoint":{"page":3}}`).want(200)
	r.exec(`update scheduler.workers set seen_at = now() - interval '2 min'`)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var duties sync.WaitGroup
	duties.Go(func() { _ = r.client.Maintain(ctx) }) // ends with ctx; the cleanup waits
	t.Cleanup(func() { stop(); duties.Wait() })
	other := r.hand()
	got := other.ask("", "Prefer", "wait=60").Leases
	if len(got) != 1 || got[0].Task.ID != task.ID || got[0].Task.Attempt != 2 || !strings.Contains(string(got[0].Task.Checkpoint), "3") {
		t.Fatalf("%+v", got)
	}
	for _, verb := range []string{"heartbeat", "complete", "fail", "release"} {
		r.say(its.Lease, verb, `{"logs":["too late"],"progress":{"current":99}}`).problem(CodeLeaseLost)
	}
	if b := h.beat(its.Lease); b.ExpiresAt != nil || len(b.Lost) != 1 || b.Lost[0] != its.Lease {
		t.Errorf("%+v", b)
	}
	if again := h.ask(`,"held":["` + its.Lease + `"]`); again.Worker.State != "run" || len(again.Leases) != 0 {
		t.Errorf("%+v", again)
	}
	if b := h.beat(its.Lease); b.ExpiresAt == nil || len(b.Lost) != 1 {
		t.Errorf("%+v", b)
	}
	after := r.get(task.Links.Self).task()
	if after.Progress != nil || after.State != "running" || after.Worker.ID != other.id || after.Crashes != 1 {
		t.Errorf("%+v", after)
	}
	if lines := read[Page[LogLine]](r.get(task.Links.Logs)); len(lines.Items) != 0 {
		t.Errorf("%+v", lines.Items)
	}
	r.say(got[0].Lease, "complete", "").want(200)
}

// say is what a worker says of a lease; it need not say who it is.
func (r *rig) say(lease, verb, body string) answer {
	r.t.Helper()
	return r.post("/v1/leases/"+lease+"/"+verb, body)
}

func TestACancelReachesARemoteWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for _, test := range []struct{ verb, body, state string }{
		{"fail", `{"error":{"code":"cancelled","message":"told to"}}`, "cancelled"},
		{"release", ``, "cancelled"}, {"release", `{"delay_ms":5}`, "cancelled"}, {"complete", ``, "completed"},
	} {
		h := r.hand()
		task := r.submit(`{"kind":"k"}`)
		its := h.one()
		if b := h.beat(its.Lease); len(b.Cancelled) != 0 || len(b.Lost) != 0 {
			t.Errorf("%+v", b)
		}
		r.post(task.Links.Cancel, "").want(202)
		if b := h.beat(its.Lease); len(b.Cancelled) != 1 || b.Cancelled[0] != its.Lease {
			t.Errorf("%+v", b)
		}
		if b := read[LeaseHeartbeat](h.say(its.Lease, "heartbeat", "").want(200)); !b.Cancelled {
			t.Errorf("%+v", b)
		}
		for range 2 {
			if got := read[Settled](h.say(its.Lease, test.verb, test.body).want(200)); got.State != test.state {
				t.Errorf("%s: %s, want %s", test.verb, got.State, test.state)
			}
		}
	}
}

// How much a remote worker has in hand shows from its first lease on, whether it sends heartbeats or not.
func TestTheLoadOfARemoteWorkerShowsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	load := func(running, slots int) {
		t.Helper()
		if list := read[Page[Worker]](r.get("/v1/workers").want(200)).Items; len(list) != 1 || list[0].Running != running || list[0].Slots != slots {
			t.Errorf("%+v, want %d of %d", list, running, slots)
		}
	}
	for range 6 {
		r.submit(`{"kind":"k"}`)
	}
	h := r.hand()
	first := h.ask(`,"max":3`).Leases
	load(3, 3)
	if why := string(r.get(r.submit(`{"kind":"k"}`).Links.Why).want(200).body); !strings.Contains(why, "workers_busy") {
		t.Error(why)
	}
	second := h.ask(`,"max":2`).Leases
	load(5, 2) // it asked for fewer, and has not given back the others
	h.say(first[0].Lease, "complete", "").want(200)
	h.say(first[1].Lease, "release", "").want(200)
	load(3, 2)
	h.beat(second[0].Lease, second[1].Lease)
	load(3, 2)
	r.post("/v1/leases", `{"worker":{"id":"`+h.id+`","slots":40},"kinds":["k"],"max":1}`).want(200)
	load(4, 40)
}

func TestRemoteWorkersAreWorkersLikeOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	task := r.submit(`{"kind":"k"}`)
	its := h.one()
	h.beat(its.Lease)
	list := read[Page[Worker]](r.get("/v1/workers").want(200)).Items
	if len(list) != 1 || list[0].ID != h.id || list[0].Name != "hand" || list[0].Language != "test" || list[0].Running != 1 || !list[0].Live || *list[0].MemoryBytes != 123 {
		t.Errorf("%+v", list)
	}
	why := string(r.get(task.Links.Why).want(200).body)
	if !strings.Contains(why, "running") {
		t.Error(why)
	}
	for _, command := range []string{"quiet", "run", "stop"} {
		r.post("/v1/workers/"+h.id+"/"+command, "").want(202)
		if b := h.beat(its.Lease); b.State != command {
			t.Errorf("told %s: %+v", command, b)
		}
		if b := read[LeaseHeartbeat](h.say(its.Lease, "heartbeat", "").want(200)); b.State != command {
			t.Errorf("told %s: %+v", command, b)
		}
	}
	other := r.submit(`{"kind":"k"}`)
	if got := h.ask(`,"held":["`+its.Lease+`"]`, "Prefer", "wait=60"); got.Worker.State != "stop" || len(got.Leases) != 0 {
		t.Errorf("%+v", got)
	}
	r.do("DELETE", "/v1/workers/"+h.id, "").want(204)
	for _, id := range []string{task.Links.Self, other.Links.Self} {
		if got := r.get(id).task().State; got != "ready" {
			t.Errorf("it is %s", got)
		}
	}
	h.say(its.Lease, "complete", "").problem(CodeLeaseLost)
	if list := read[Page[Worker]](r.get("/v1/workers").want(200)).Items; len(list) != 0 {
		t.Errorf("%+v", list)
	}
}
