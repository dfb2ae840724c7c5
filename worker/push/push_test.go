package push_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
	"github.com/pgscheduler/scheduler/worker/push"
)

const patience = time.Minute

// rig is a database with an endpoint "shop" that a server of the test's own answers.
type rig struct {
	t      *testing.T
	url    string
	client *scheduler.Client
	db     *pgxpool.Pool
	server *httptest.Server
	logs   *logs

	mu     sync.Mutex
	answer http.HandlerFunc
}

func newRig(t *testing.T, e scheduler.NewEndpoint, answer http.HandlerFunc) *rig {
	t.Helper()
	r := &rig{t: t, url: pgtest.DB(t), logs: &logs{}, answer: answer}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logged:\n%s", r.logs)
		}
	})
	db, err := pgxpool.New(t.Context(), r.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	r.db = db
	r.client = r.open()
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		answer(w, q)
	}))
	t.Cleanup(r.server.Close)
	e.URL = r.server.URL + "/tasks?token=hidden"
	r.set(e)
	return r
}

func (r *rig) open() *scheduler.Client {
	r.t.Helper()
	client, err := scheduler.Open(r.t.Context(), scheduler.Config{DatabaseURL: r.url, Logger: r.logs.logger()})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	return client
}

func (r *rig) set(e scheduler.NewEndpoint) {
	r.t.Helper()
	if e.Name == "" {
		e.Name = "shop"
	}
	if e.Kinds == nil {
		e.Kinds = []string{"k"}
	}
	if e.URL == "" {
		e.URL = r.server.URL
	}
	if _, _, err := r.client.SetEndpoint(r.t.Context(), e); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) answers(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// pushing is a Pusher whose Run is under way.
type pushing struct {
	*push.Pusher
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func (r *rig) push(config push.Config) *pushing {
	r.t.Helper()
	return r.pushOn(r.client, config)
}

func (r *rig) pushOn(client *scheduler.Client, config push.Config) *pushing {
	r.t.Helper()
	if config.Allow == nil {
		config.Allow = []string{"127.0.0.1"}
	}
	config.Logger = r.logs.logger()
	p, err := push.New(client, config)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	x := &pushing{Pusher: p, t: r.t, cancel: cancel, done: make(chan struct{})}
	var duties sync.WaitGroup
	duties.Go(func() { _ = client.Maintain(ctx) })
	go func() { // waited for by the cleanup
		defer close(x.done)
		x.err = p.Run(ctx)
	}()
	r.t.Cleanup(func() {
		cancel()
		p.Abort()
		x.wait()
		duties.Wait()
	})
	return x
}

func (x *pushing) wait() error {
	x.t.Helper()
	select {
	case <-x.done:
	case <-time.After(patience):
		x.t.Fatal("Run does not end")
	}
	return x.err
}

func (r *rig) submit(task scheduler.NewTask) scheduler.TaskID {
	r.t.Helper()
	if task.Kind == "" {
		task.Kind = "k"
	}
	s, err := r.client.Submit(r.t.Context(), task)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.ID
}

func (r *rig) final(id scheduler.TaskID) scheduler.Task {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	task, err := r.client.Wait(ctx, id)
	if err != nil || !task.State.Done() {
		r.t.Fatalf("task is %s (attempt %d, %d failures, %v): %v", task.State, task.Attempt, task.Failures, text(task.Error), err)
	}
	return task
}

func (r *rig) task(id scheduler.TaskID) scheduler.Task {
	r.t.Helper()
	task, err := r.client.Task(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return task
}

func (r *rig) endpoint() scheduler.Endpoint {
	r.t.Helper()
	e, err := r.client.Endpoint(r.t.Context(), "shop")
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(limit) {
			r.t.Fatalf("waited %s for: %s", patience, what)
		}
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// logs keeps what is logged. Safe for concurrent use.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

const secretA, secretB = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

// What arrives is the task, signed by every secret, and its lease; what is answered is its result.
func TestDelivery(t *testing.T) {
	t.Parallel()
	type got struct {
		method, path string
		header       http.Header
		body         string
	}
	arrived := make(chan got, 1)
	r := newRig(t, scheduler.NewEndpoint{Secrets: []string{secretA, secretB}}, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		arrived <- got{q.Method, q.URL.String(), q.Header, string(body)}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"größe":"😀 𝔘"}`)
	})
	p := r.push(push.Config{Version: "1.2"})
	const payload = `{"name":"Žofie \u2028 😀","n":12345678901234567890}`
	id := r.submit(scheduler.NewTask{Payload: json.RawMessage(payload), MaxAttempts: 3, Priority: -2,
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	task := r.final(id)
	if task.State != scheduler.Completed || string(task.Result) != `{"größe": "😀 𝔘"}` || task.Attempt != 1 || task.Failures != 0 {
		t.Errorf("%s %s %s", task.State, task.Result, text(task.Error))
	}
	a := <-arrived
	if a.method != "POST" || a.path != "/tasks?token=hidden" || a.header.Get("Content-Type") != "application/json" || a.header.Get("User-Agent") != "scheduler-push/1.2" ||
		a.header.Get("Webhook-Id") != id.String() || !strings.HasPrefix(a.header.Get("Traceparent"), "00-0af7651916cd43dd8448eb211c80319c-") {
		t.Errorf("%+v", a)
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatal(err)
	}
	if body["id"] != id.String() || body["kind"] != "k" || body["queue"] != "default" || body["attempt"] != 1.0 || body["max_attempts"] != 3.0 || body["priority"] != -2.0 ||
		body["payload"].(map[string]any)["name"] != "Žofie \u2028 😀" || !strings.Contains(a.body, "12345678901234567890") {
		t.Error(a.body)
	}
	verify(t, a.header, a.body, secretA, secretB)
	lease, err := scheduler.ParseLeaseToken(a.header.Get("Scheduler-Lease"))
	if err != nil || lease.Task != id || lease.Attempt != 1 {
		t.Errorf("%+v, %v", lease, err)
	}
	if diff := cmp.Diff(map[push.Outcome]uint64{push.Delivered: 1, push.Accepted: 0, push.Failed: 0, push.Later: 0, push.Refused: 0}, p.Counts()["shop"]); diff != "" {
		t.Error(diff)
	}
	for _, secret := range []string{"whsec_", "Žofie", "größe", "hidden"} {
		if strings.Contains(r.logs.String(), secret) {
			t.Errorf("%s is logged", secret)
		}
	}
}

// A task that a message made says so, as at the other doors.
func TestDeliveryOfAMessage(t *testing.T) {
	t.Parallel()
	bodies := make(chan map[string]any, 1)
	r := newRig(t, scheduler.NewEndpoint{}, func(_ http.ResponseWriter, q *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(q.Body).Decode(&body)
		bodies <- body
	})
	r.push(push.Config{})
	if _, err := r.client.SetSubscription(t.Context(), scheduler.NewSubscription{Name: "s", Pattern: "order.*", Kind: "k"}); err != nil {
		t.Fatal(err)
	}
	published, err := r.client.Publish(t.Context(), scheduler.NewMessage{Topic: "order.created"})
	if err != nil {
		t.Fatal(err)
	}
	if body := <-bodies; body["topic"] != "order.created" || body["message_id"] != fmt.Sprint(published.ID) {
		t.Errorf("%v, want message %d", body, published.ID)
	}
}

// Each answer makes of the task what the table in docs/guides/push.md says.
func TestWhatAnswersMakeOfATask(t *testing.T) {
	t.Parallel()
	statuses := map[string]http.HandlerFunc{}
	say := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if key, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(key, value)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	r := newRig(t, scheduler.NewEndpoint{BreakerFailures: 1000, Timeout: patience}, func(w http.ResponseWriter, q *http.Request) {
		var task struct{ Payload string }
		if err := json.NewDecoder(q.Body).Decode(&task); err != nil {
			t.Error(err)
		}
		statuses[task.Payload](w, q)
	})
	wait := func(w http.ResponseWriter, q *http.Request) { <-q.Context().Done() }
	cases := []struct {
		name     string
		answer   http.HandlerFunc
		state    scheduler.State
		failures int
		code     string
		text     string
	}{
		{"200", say(200, "", "ok"), scheduler.Completed, 0, "", ""},
		{"101", func(w http.ResponseWriter, _ *http.Request) { // and then nothing for ever
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		}, scheduler.Scheduled, 1, "http_101", "101 Switching Protocols"},
		{"204", say(204, "", ""), scheduler.Completed, 0, "", ""},
		{"302", say(302, "Location: /elsewhere", ""), scheduler.Scheduled, 1, "http_302", "302 Found"},
		{"307", say(307, "Location: http://169.254.169.254/", ""), scheduler.Scheduled, 1, "http_307", "307 Temporary Redirect"},
		{"400", say(400, "", "no such\nuser"), scheduler.Scheduled, 1, "http_400", "400 Bad Request: no such user"},
		{"410", say(410, "", "deleted"), scheduler.Failed, 1, "http_410", "410 Gone: deleted"},
		{"422", say(422, "Content-Type: application/problem+json", `{"retryable":false}`), scheduler.Failed, 1, "http_422", `422 Unprocessable Entity: {"retryable":false}`},
		{"429", say(429, "Retry-After: 3600", "busy"), scheduler.Scheduled, 0, "", ""},
		{"429 bare", say(429, "", ""), scheduler.Scheduled, 1, "http_429", "429 Too Many Requests"},
		{"500", say(500, "", "<h1>\x1b[31mOops</h1>"), scheduler.Scheduled, 1, "http_500", "500 Internal Server Error: <h1> [31mOops</h1>"},
		{"503", say(503, "Retry-After: 3600", ""), scheduler.Scheduled, 0, "", ""},
		{"slow", wait, scheduler.Scheduled, 1, "timeout", "no whole answer in time"},
		{"slow body", func(w http.ResponseWriter, q *http.Request) {
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			wait(w, q)
		}, scheduler.Scheduled, 1, "timeout", "no whole answer in time"},
		{"hangs up", func(w http.ResponseWriter, q *http.Request) { panic(http.ErrAbortHandler) }, scheduler.Scheduled, 1, "no_answer", "EOF"},
		{"breaks off", func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "x")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, scheduler.Scheduled, 1, "no_answer", "the answer 200 OK broke off: unexpected EOF"},
		{"huge", func(w http.ResponseWriter, q *http.Request) { flood(w, 200) }, scheduler.Failed, 1, "bad_result", "the answer 200 OK cannot be stored as a result: larger than 262144 bytes"},
		{"huge error", func(w http.ResponseWriter, q *http.Request) { flood(w, 500) }, scheduler.Scheduled, 1, "http_500", "500 Internal Server Error: xx"},
		{"huge header", func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, scheduler.Scheduled, 1, "no_answer", "net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded"},
	}
	for _, c := range cases {
		statuses[c.name] = c.answer
	}
	r.set(scheduler.NewEndpoint{Name: "slow", Kinds: []string{"slow"}, BreakerFailures: 1000, Timeout: 500 * time.Millisecond})
	r.push(push.Config{})
	ids := map[string]scheduler.TaskID{}
	for _, c := range cases {
		new := scheduler.NewTask{Payload: c.name, Backoff: []time.Duration{time.Hour}}
		if c.code == "timeout" {
			new.Kind = "slow"
		}
		ids[c.name] = r.submit(new)
	}
	for _, c := range cases {
		r.await(c.name, func() bool {
			task := r.task(ids[c.name])
			return task.Attempt > 0 && task.State != scheduler.Running && task.State != scheduler.Ready
		})
		task := r.task(ids[c.name])
		if task.State != c.state || task.Failures != c.failures || task.Attempt != 1 || text(task.ErrorCode) != c.code || !strings.HasPrefix(text(task.Error), c.text) {
			t.Errorf("%s: %s, %d failures, %s: %.200s", c.name, task.State, task.Failures, text(task.ErrorCode), text(task.Error))
		}
	}
	for _, body := range []string{"no such", "deleted", "Oops", "xxx", "hidden"} {
		if strings.Contains(r.logs.String(), body) {
			t.Errorf("%q of an answer is logged", body)
		}
	}
	if in := time.Until(r.task(ids["429"]).RunAt); in < 50*time.Minute {
		t.Errorf("comes again in %s", in)
	}
}

func flood(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	for range 1000 {
		if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
			return
		}
	}
}

// An endpoint that fails opens its breaker: its tasks wait with the attempts that they had. The probe closes it, and all is
// delivered.
func TestBreaker(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	r := newRig(t, scheduler.NewEndpoint{BreakerFailures: 3, Concurrency: 1, BreakerPause: time.Hour}, func(w http.ResponseWriter, q *http.Request) {
		posts.Add(1)
		w.WriteHeader(500)
	})
	other := r.open()
	r.push(push.Config{})
	r.pushOn(other, push.Config{})
	var ids []scheduler.TaskID
	for range 20 {
		ids = append(ids, r.submit(scheduler.NewTask{Backoff: []time.Duration{time.Hour}}))
	}
	r.await("open, and nothing under way", func() bool { e := r.endpoint(); return e.State == scheduler.BreakerOpen && e.InFlight == 0 })
	e := r.endpoint()
	if e.Failures < 3 || e.OpenedAt == nil || e.ProbeAt == nil || text(e.LastError) != "500 Internal Server Error" || e.LastErrorAt == nil || e.LastSuccessAt != nil {
		t.Errorf("%+v", e)
	}
	last := ids[len(ids)-1]
	if why, err := r.client.Explain(t.Context(), last); err != nil || why[0].Code != "endpoint_open" {
		t.Errorf("%+v, %v", why, err)
	}
	if n := posts.Load(); n > 5 { // the two processes may each have had one under way
		t.Errorf("%d posts", n)
	}
	before := posts.Load()
	if err := r.client.ResumeEndpoint(t.Context(), "shop"); err != nil { // a probe at once, which fails
		t.Fatal(err)
	}
	r.await("the probe", func() bool { return posts.Load() == before+1 && r.endpoint().State == scheduler.BreakerOpen })
	if task := r.task(last); task.Attempt != 0 || task.State != scheduler.Ready {
		t.Errorf("%s, attempt %d", task.State, task.Attempt)
	}
	r.answers(func(http.ResponseWriter, *http.Request) { posts.Add(1) })
	if err := r.client.ResumeEndpoint(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if task := r.final(last); task.State != scheduler.Completed || task.Attempt != 1 {
		t.Errorf("%s, attempt %d", task.State, task.Attempt)
	}
	r.await("closed", func() bool {
		e := r.endpoint()
		return e.State == scheduler.BreakerClosed && e.Failures == 0 && e.InFlight == 0 && e.LastSuccessAt != nil
	})
}

// A probe that ends without telling anything, as when its task is cancelled, makes room for another, while an older delivery goes on.
func TestProbeThatIsCancelled(t *testing.T) {
	t.Parallel()
	arrived := make(chan string, 10)
	r := newRig(t, scheduler.NewEndpoint{BreakerFailures: 1, Concurrency: 3, BreakerPause: time.Hour, Timeout: time.Hour}, nil)
	hang := func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		arrived <- q.Header.Get("Webhook-Id")
		<-q.Context().Done()
	}
	r.answers(hang)
	p := r.push(push.Config{DrainTimeout: -1})
	r.submit(scheduler.NewTask{})
	<-arrived
	r.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	r.submit(scheduler.NewTask{Backoff: []time.Duration{time.Hour}})
	r.await("open", func() bool { return r.endpoint().State == scheduler.BreakerOpen })
	r.answers(hang)
	one, two := r.submit(scheduler.NewTask{Priority: 1}), r.submit(scheduler.NewTask{Priority: 2})
	if err := r.client.ResumeEndpoint(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if got := <-arrived; got != one.String() {
		t.Errorf("%s is the probe", got)
	}
	if _, err := r.client.Cancel(t.Context(), one, ""); err != nil {
		t.Fatal(err)
	}
	if task := r.final(one); task.State != scheduler.Cancelled {
		t.Errorf("%s", task.State)
	}
	select {
	case got := <-arrived:
		if got != two.String() {
			t.Errorf("%s is the next probe", got)
		}
	case <-time.After(patience):
		t.Errorf("no other probe: %+v", r.endpoint())
	}
	p.Abort()
}

// What the last delivery before the end tells of the endpoint is told.
func TestTheLastOutcomeIsTold(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}), make(chan struct{})
	r := newRig(t, scheduler.NewEndpoint{BreakerFailures: 1, BreakerPause: time.Hour}, func(w http.ResponseWriter, q *http.Request) {
		arrived <- struct{}{}
		<-answer
		w.WriteHeader(500)
	})
	p := r.push(push.Config{})
	r.submit(scheduler.NewTask{})
	<-arrived
	p.cancel()
	close(answer)
	if err := p.wait(); err != nil {
		t.Error(err)
	}
	if e := r.endpoint(); e.State != scheduler.BreakerOpen || e.InFlight != 0 || e.Processes != 0 {
		t.Errorf("%+v", e)
	}
}

// By time alone, too.
func TestBreakerClosesByItself(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	r := newRig(t, scheduler.NewEndpoint{BreakerFailures: 1, BreakerPause: 100 * time.Millisecond}, func(w http.ResponseWriter, q *http.Request) {
		if posts.Add(1) <= 3 {
			w.WriteHeader(404)
		}
	})
	r.push(push.Config{})
	id := r.submit(scheduler.NewTask{Backoff: []time.Duration{time.Millisecond}})
	if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 4 || task.Failures != 3 {
		t.Errorf("%s, attempt %d", task.State, task.Attempt)
	}
	r.await("closed", func() bool { return r.endpoint().State == scheduler.BreakerClosed })
}

// Two processes together never have more deliveries under way than the endpoint takes, and both take part.
func TestProcessesShareTheConcurrency(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	two, seen := make(chan struct{}), sync.Once{} // at once
	r := newRig(t, scheduler.NewEndpoint{Concurrency: 4}, func(_ http.ResponseWriter, q *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		if n > 1 {
			seen.Do(func() { close(two) })
		}
		select { // the first waits for a second
		case <-two:
		case <-q.Context().Done():
		}
		for {
			seen := most.Load()
			if n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		select { // long enough that others would come in
		case <-time.After(3 * time.Millisecond):
		case <-q.Context().Done():
		}
	})
	ps := []*pushing{r.push(push.Config{}), r.pushOn(r.open(), push.Config{}), r.pushOn(r.open(), push.Config{})}
	var ids []scheduler.TaskID
	for range 400 {
		ids = append(ids, r.submit(scheduler.NewTask{}))
	}
	for _, id := range ids {
		if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 1 {
			t.Errorf("%s, attempt %d: %s", task.State, task.Attempt, text(task.Error))
		}
	}
	if n := most.Load(); n > 4 || n < 2 {
		t.Errorf("%d at once", n)
	}
	sum := uint64(0)
	for _, p := range ps {
		sum += p.Counts()["shop"][push.Delivered]
	}
	if sum != 400 {
		t.Errorf("%d deliveries", sum)
	}
	r.await("slots given back", func() bool { return r.endpoint().InFlight == 0 })
}

// What is answered by 202 runs until somebody ends it by its lease.
func TestAccepted(t *testing.T) {
	t.Parallel()
	leases := make(chan scheduler.Lease, 10)
	r := newRig(t, scheduler.NewEndpoint{CompleteWithin: time.Hour, Concurrency: 2}, func(w http.ResponseWriter, q *http.Request) {
		lease, err := scheduler.ParseLeaseToken(q.Header.Get("Scheduler-Lease"))
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(202)
		leases <- lease
	})
	p := r.push(push.Config{DrainTimeout: -1})
	ctx := t.Context()
	r.submit(scheduler.NewTask{})
	one := <-leases
	if err := r.client.Complete(ctx, one, json.RawMessage(`"done"`)); err != nil {
		t.Fatal(err)
	}
	if task := r.final(one.Task); task.State != scheduler.Completed || string(task.Result) != `"done"` {
		t.Errorf("%+v", task)
	}
	r.submit(scheduler.NewTask{MaxAttempts: 1})
	two := <-leases
	if _, err := r.client.Fail(ctx, two, scheduler.Failure{Message: "no"}); err != nil {
		t.Fatal(err)
	}
	r.submit(scheduler.NewTask{})
	three := <-leases
	if err := r.client.Release(ctx, []scheduler.Lease{three}); err != nil {
		t.Fatal(err)
	}
	again := <-leases
	if again.Task != three.Task || again.Attempt != 2 {
		t.Errorf("%+v", again)
	}
	if err := r.client.Complete(ctx, three, nil); !errors.Is(err, scheduler.ErrLeaseLost) {
		t.Errorf("a late complete: %v", err)
	}
	r.submit(scheduler.NewTask{}) // the second slot
	four := <-leases
	five := r.submit(scheduler.NewTask{})
	r.await("busy", func() bool {
		why, err := r.client.Explain(ctx, five)
		return err == nil && why[0].Code == "endpoint_busy"
	})
	if err := r.client.Complete(ctx, four, nil); err != nil {
		t.Fatal(err)
	}
	if lease := <-leases; lease.Task != five {
		t.Errorf("%+v", lease)
	} else if _, err := r.client.Cancel(ctx, five, ""); err != nil {
		t.Fatal(err)
	}
	if task := r.final(five); task.State != scheduler.Cancelled {
		t.Errorf("%s", task.State)
	}
	if err := r.client.Complete(ctx, again, nil); err != nil {
		t.Fatal(err)
	}
	r.await("slots", func() bool { return r.endpoint().InFlight == 0 })
	if strings.Contains(r.logs.String(), "lease lost") {
		t.Error("what ended as it should is logged as lost")
	}

	r.submit(scheduler.NewTask{})
	six := <-leases
	r.await("accepted", func() bool { return r.why(six.Task) == "accepted" })
	p.cancel() // without patience: and yet it is not handed back
	if err := p.wait(); err != nil {
		t.Error(err)
	}
	if list, err := r.client.Workers(ctx); err != nil || len(list) != 0 {
		t.Errorf("%d workers are left, %v", len(list), err)
	}
	if task := r.task(six.Task); task.State != scheduler.Running || r.endpoint().InFlight != 1 {
		t.Errorf("%s, %d in flight", task.State, r.endpoint().InFlight)
	}
	if err := r.client.Complete(ctx, six, nil); err != nil {
		t.Error(err)
	}
	if lines, err := r.client.Logs(ctx, six.Task, 0, 10); err != nil || len(lines) != 1 || !strings.Contains(lines[0].Message, "answered 202") {
		t.Errorf("%+v, %v", lines, err)
	}
}

// why is the first reason why a task does not run, or that it does.
func (r *rig) why(id scheduler.TaskID) string {
	r.t.Helper()
	why, err := r.client.Explain(r.t.Context(), id)
	if err != nil || len(why) == 0 {
		r.t.Fatal(why, err)
	}
	return why[0].Code
}

// Three tasks that are all accepted, two at once: the third is delivered when one of the others has ended, by whichever process.
func TestAcceptedTasksHoldTheConcurrency(t *testing.T) {
	t.Parallel()
	leases := make(chan scheduler.Lease, 10)
	r := newRig(t, scheduler.NewEndpoint{CompleteWithin: time.Hour, Concurrency: 2}, func(w http.ResponseWriter, q *http.Request) {
		lease, _ := scheduler.ParseLeaseToken(q.Header.Get("Scheduler-Lease"))
		w.WriteHeader(202)
		leases <- lease
	})
	r.push(push.Config{})
	r.pushOn(r.open(), push.Config{})
	var ids []scheduler.TaskID
	for range 3 {
		ids = append(ids, r.submit(scheduler.NewTask{}))
	}
	one, two := <-leases, <-leases
	r.await("both accepted, and told", func() bool {
		return r.why(one.Task) == "accepted" && r.why(two.Task) == "accepted" && r.endpoint().InFlight == 2
	})
	r.await("the third waits", func() bool {
		for _, id := range ids {
			if id != one.Task && id != two.Task {
				return r.why(id) == "endpoint_busy"
			}
		}
		return false
	})
	if len(leases) != 0 {
		t.Fatal("a third was delivered")
	}
	if err := r.client.Complete(t.Context(), one, nil); err != nil {
		t.Fatal(err)
	}
	three := <-leases
	for _, lease := range []scheduler.Lease{two, three} {
		if err := r.client.Complete(t.Context(), lease, nil); err != nil {
			t.Error(err)
		}
	}
	for _, id := range ids {
		if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 1 {
			t.Errorf("%s, attempt %d", task.State, task.Attempt)
		}
	}
	r.await("slots", func() bool { return r.endpoint().InFlight == 0 })
}

// Who ends the task by its lease and answers all the same is well, and so is the log.
func TestEndedByItsLeaseBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, scheduler.NewEndpoint{BreakerFailures: 2}, nil)
	p := r.push(push.Config{})
	complete := func(l scheduler.Lease) error {
		return r.client.Complete(context.Background(), l, json.RawMessage(`"by the lease"`))
	}
	fail := func(l scheduler.Lease) error {
		_, err := r.client.Fail(context.Background(), l, scheduler.Failure{Message: "by the lease", Permanent: true})
		return err
	}
	for i, c := range []struct {
		status int
		end    func(scheduler.Lease) error
		state  scheduler.State
		what   push.Outcome
	}{{200, complete, scheduler.Completed, push.Delivered}, {202, complete, scheduler.Completed, push.Accepted}, {200, fail, scheduler.Failed, push.Delivered},
		{410, fail, scheduler.Failed, push.Refused}} {
		r.answers(func(w http.ResponseWriter, q *http.Request) {
			lease, err := scheduler.ParseLeaseToken(q.Header.Get("Scheduler-Lease"))
			if err == nil {
				err = c.end(lease)
			}
			if err != nil {
				t.Error(err)
			}
			w.WriteHeader(c.status)
		})
		before := p.Counts()["shop"][c.what]
		task := r.final(r.submit(scheduler.NewTask{}))
		if task.State != c.state || task.Attempt != 1 || task.State == scheduler.Failed && task.Failures != 1 {
			t.Errorf("%d: %s, attempt %d, %d failures: %s", i, task.State, task.Attempt, task.Failures, text(task.Error))
		}
		r.await("counted", func() bool { return p.Counts()["shop"][c.what] == before+1 && r.endpoint().InFlight == 0 })
	}
	if e := r.endpoint(); e.State != scheduler.BreakerClosed || e.Failures != 0 || e.LastError != nil {
		t.Errorf("%+v", e)
	}
	p.cancel()
	if err := p.wait(); err != nil { // all is written and logged
		t.Error(err)
	}
	for line := range strings.Lines(r.logs.String()) {
		if strings.Contains(line, "lease lost") || strings.Contains(line, "task_id=") && !strings.Contains(line, "level=INFO") {
			t.Errorf("what ended as it should is logged: %s", line)
		}
	}
}

func TestAcceptedAndForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, scheduler.NewEndpoint{CompleteWithin: time.Second}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) })
	r.push(push.Config{})
	id := r.submit(scheduler.NewTask{MaxAttempts: 1})
	short := r.submit(scheduler.NewTask{MaxAttempts: 1, Timeout: 10 * time.Millisecond})
	if task := r.final(id); task.State != scheduler.Failed || text(task.ErrorCode) != "timeout" || text(task.Error) != "endpoint shop answered 202 and did not end the task within 1s" {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if task := r.final(short); task.State != scheduler.Failed || text(task.ErrorCode) != "timeout" {
		t.Errorf("%s: %s: %s", task.State, text(task.ErrorCode), text(task.Error))
	}
}

// Nothing goes to an address that is not public unless it is allowed.
func TestAddressesAreRefused(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	r := newRig(t, scheduler.NewEndpoint{BreakerFailures: 1000}, func(http.ResponseWriter, *http.Request) { posts.Add(1) })
	r.push(push.Config{Allow: []string{}})
	task := r.final(r.submit(scheduler.NewTask{MaxAttempts: 1}))
	if task.State != scheduler.Failed || text(task.ErrorCode) != "address_refused" || !strings.Contains(text(task.Error), "is not a public address") || strings.Contains(text(task.Error), "hidden") {
		t.Errorf("%s: %s: %s", task.State, text(task.ErrorCode), text(task.Error))
	}
	if posts.Load() != 0 {
		t.Error("it came through")
	}
}

// Settings that change hold for the next delivery; what is under way is not disturbed, not even by the end of the endpoint.
func TestEndpointChangesUnderWay(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan string, 10), make(chan struct{})
	r := newRig(t, scheduler.NewEndpoint{Concurrency: 1}, func(w http.ResponseWriter, q *http.Request) {
		arrived <- q.Header.Get("Webhook-Id")
		<-answer
	})
	r.push(push.Config{})
	one := r.submit(scheduler.NewTask{})
	if got := <-arrived; got != one.String() {
		t.Error(got)
	}
	two := r.submit(scheduler.NewTask{})
	r.set(scheduler.NewEndpoint{Concurrency: 2, Kinds: []string{"k", "l"}}) // another worker beside the one that is under way
	if got := <-arrived; got != two.String() {
		t.Error(got)
	}
	if err := r.client.DeleteEndpoint(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	three := r.submit(scheduler.NewTask{})
	close(answer)
	for _, id := range []scheduler.TaskID{one, two} {
		if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 1 {
			t.Errorf("%s, attempt %d: %s", task.State, task.Attempt, text(task.Error))
		}
	}
	r.await("workers gone", func() bool {
		list, err := r.client.Workers(t.Context())
		return err == nil && len(list) == 0
	})
	if task := r.task(three); task.State != scheduler.Ready {
		t.Errorf("%s", task.State)
	}
	r.set(scheduler.NewEndpoint{}) // of the same name again
	if task := r.final(three); task.State != scheduler.Completed {
		t.Errorf("%s", task.State)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	r := newRig(t, scheduler.NewEndpoint{}, func(http.ResponseWriter, *http.Request) {})
	r.push(push.Config{})
	r.final(r.submit(scheduler.NewTask{}))
	r.await("rest", func() bool { return r.endpoint().InFlight == 0 }) // what was granted before a pause may still begin
	if err := r.client.PauseEndpoint(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	id := r.submit(scheduler.NewTask{})
	r.await("why", func() bool {
		why, err := r.client.Explain(t.Context(), id)
		return err == nil && why[0].Code == "endpoint_paused"
	})
	if err := r.client.ResumeEndpoint(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if task := r.final(id); task.Attempt != 1 {
		t.Errorf("attempt %d", task.Attempt)
	}
}

// A rate of one in 100 s lets one begin at once, and the second not, whichever process it comes to.
func TestRate(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	r := newRig(t, scheduler.NewEndpoint{Rate: 0.01}, func(http.ResponseWriter, *http.Request) { posts.Add(1) })
	r.push(push.Config{})
	r.pushOn(r.open(), push.Config{})
	one, two := r.submit(scheduler.NewTask{}), r.submit(scheduler.NewTask{})
	r.await("the first", func() bool { return r.task(one).State.Done() != r.task(two).State.Done() })
	if n := posts.Load(); n != 1 {
		t.Errorf("%d posts", n)
	}
	if _, err := r.db.Exec(t.Context(), `update scheduler.endpoints set tokens_at = tokens_at - interval '100 s', updated_at = now()`); err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.Exec(t.Context(), `select pg_notify('scheduler_control', '*')`); err != nil {
		t.Fatal(err)
	}
	r.final(one)
	r.final(two)
}

// At the end, deliveries may finish; Abort breaks them off and hands the tasks back.
func TestDrainAndAbort(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan string, 10), make(chan struct{})
	r := newRig(t, scheduler.NewEndpoint{}, func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body) // else the server does not see that the client is gone
		arrived <- q.Header.Get("Webhook-Id")
		select {
		case <-answer:
		case <-q.Context().Done():
		}
	})
	p := r.push(push.Config{})
	one := r.submit(scheduler.NewTask{})
	<-arrived
	p.cancel()
	answer <- struct{}{}
	if err := p.wait(); err != nil {
		t.Error(err)
	}
	if task := r.task(one); task.State != scheduler.Completed {
		t.Errorf("%s", task.State)
	}
	p = r.push(push.Config{})
	two := r.submit(scheduler.NewTask{})
	<-arrived
	p.Abort()
	if err := p.wait(); !errors.Is(err, worker.ErrAborted) {
		t.Error(err)
	}
	if task := r.task(two); task.State != scheduler.Ready || task.Failures != 0 {
		t.Errorf("%s, %d failures: %s", task.State, task.Failures, text(task.Error))
	}
	if list, err := r.client.Workers(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%d workers are left, %v", len(list), err)
	}
}

func TestConfigNamesTheBadField(t *testing.T) {
	t.Parallel()
	for field, config := range map[string]push.Config{"Config.Allow": {Allow: []string{"no/name"}}, "Config.Heartbeat": {Heartbeat: 1}, "Config.TTL": {TTL: 1}} {
		if _, err := push.New(nil, config); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// A database that goes away while something is delivered is waited for; the outcome is written, and deliveries go on.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan string, 10), make(chan struct{})
	r := newRig(t, scheduler.NewEndpoint{}, func(_ http.ResponseWriter, q *http.Request) {
		arrived <- q.Header.Get("Webhook-Id")
		<-answer
	})
	r.push(push.Config{})
	one := r.submit(scheduler.NewTask{})
	<-arrived
	if _, err := r.db.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	r.client = r.open() // for the test's own questions: who asks by a connection that is gone is told so
	close(answer)
	if task := r.final(one); task.State != scheduler.Completed || task.Attempt != 1 {
		t.Errorf("%s, attempt %d", task.State, task.Attempt)
	}
	if task := r.final(r.submit(scheduler.NewTask{})); task.State != scheduler.Completed {
		t.Errorf("%s", task.State)
	}
	r.await("slots given back", func() bool { return r.endpoint().InFlight == 0 })
}
