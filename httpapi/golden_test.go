package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

var (
	aUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	aTime = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00)`)
	anID  = regexp.MustCompile(`\b[A-Z2-7]{26}\b`) // of a request
)

// transcript writes an answer as it goes over the wire, with ids, times and what else differs from run to run replaced.
func transcript(request string, a answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%d\n", request, a.status)
	var names []string
	for name := range a.header {
		if name != "Date" && name != "Content-Length" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(a.header.Values(name), ", "))
	}
	var pretty bytes.Buffer
	if len(a.body) > 0 {
		if err := json.Indent(&pretty, bytes.TrimSpace(a.body), "", "  "); err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "\n%s\n", pretty.String())
	}
	text := anID.ReplaceAllString(b.String(), "<request>")
	text = aTime.ReplaceAllStringFunc(text, func(at string) string {
		if strings.HasPrefix(at, "20") && !strings.HasPrefix(at, "203") { // the test's own are in the thirties
			return "<time>"
		}
		return at
	})
	seen := map[string]string{}
	return aUUID.ReplaceAllStringFunc(text, func(id string) string {
		if seen[id] == "" {
			seen[id] = fmt.Sprintf("<id %d>", len(seen)+1)
		}
		return seen[id]
	})
}

// TestWire holds what is sent to the golden files, and each answer to the OpenAPI document.
func TestWire(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	full := `{"kind":"report.generate","payload":{"report_id":42},"queue":"reports","priority":-5,"run_at":"2030-01-01T02:00:00+02:00","max_attempts":3,` +
		`"timeout_ms":60000,"expires_at":"2031-01-01T00:00:00.123456789Z","unique_key":"report:42","backoff_ms":[1000,5000]}`
	scheduled := r.submit(full, "Idempotency-Key", "order-42")
	running, worker := r.runningTask("import")
	failed := r.failedTask("mail.send")
	r.do("PUT", "/v1/schedules/nightly", `{"expression":"0 3 * * *","zone":"Europe/Paris","kind":"report.generate","payload":{"all":true}}`).want(201)

	for _, test := range []struct {
		file, request, body string
		headers             []string
	}{
		{"submit", "POST /v1/tasks", `{"kind":"report.generate","payload":{"report_id":42}}`, nil},
		{"submit_replayed", "POST /v1/tasks", full, []string{"Idempotency-Key", `"order-42"`}},
		{"submit_existing", "POST /v1/tasks", `{"kind":"x","queue":"reports","unique_key":"report:42"}`, nil},
		{"submit_reused", "POST /v1/tasks", `{"kind":"x","queue":"reports"}`, []string{"Idempotency-Key", "order-42"}},
		{"submit_invalid", "POST /v1/tasks", `{"kind":"x y","nope":1,"priority":"high"}`, nil},
		{"batch", "POST /v1/tasks/batch", `[{"kind":"a"},{"kind":"b","queue":"reports","delay_ms":60000}]`, nil},
		{"task_scheduled", "GET " + scheduled.Links.Self, "", nil},
		{"task_running", "GET " + running.Links.Self, "", nil},
		{"task_failed", "GET " + failed.Links.Self, "", nil},
		{"tasks", "GET /v1/tasks?state=failed&limit=1", "", nil},
		{"attempts", "GET " + failed.Links.Attempts, "", nil},
		{"logs", "GET " + running.Links.Logs + "?limit=1", "", nil},
		{"why", "GET " + failed.Links.Why, "", nil},
		{"conflict", "DELETE " + running.Links.Self, "", nil},
		{"cancel_requested", "POST " + running.Links.Cancel, `{"reason":"no longer wanted"}`, nil},
		{"workers", "GET /v1/workers", "", nil},
		{"worker_quiet", "POST /v1/workers/" + worker.String() + "/quiet", "", nil},
		{"queue_paused", "POST /v1/queues/reports/pause", "", nil},
		{"queues", "GET /v1/queues", "", nil},
		{"schedule", "GET /v1/schedules/nightly", "", nil},
		{"schedules", "GET /v1/schedules", "", nil},
		{"schedule_next", "GET /v1/schedules/nightly/next?count=2", "", nil},
		{"schedule_trigger", "POST /v1/schedules/nightly/trigger", "", nil},
		{"bad_cron", "PUT /v1/schedules/x", `{"expression":"* * * *","kind":"x"}`, nil},
		{"subscription_set", "PUT /v1/subscriptions/mailer", `{"pattern":"order.*","kind":"mail.send","queue":"mail","priority":-1,"timeout_ms":60000}`, nil},
		{"subscriptions", "GET /v1/subscriptions?topic=order.created", "", nil},
		{"publish", "POST /v1/topics/order.created/publish", `{"payload":{"order":42}}`, []string{"Idempotency-Key", "order-42"}},
		{"publish_replayed", "POST /v1/topics/order.created/publish", `{"payload":{"order":42}}`, []string{"Idempotency-Key", "order-42"}},
		{"publish_reused", "POST /v1/topics/order.created/publish", `{"payload":{"order":43}}`, []string{"Idempotency-Key", "order-42"}},
		{"not_found", "GET /nowhere", "", nil},
		{"method_not_allowed", "DELETE /v1/tasks", "", nil},
		{"health", "GET /healthz", "", nil},
		{"ready", "GET /readyz", "", nil},
	} {
		t.Run(test.file, func(t *testing.T) {
			r := *r
			r.t = t
			method, path, _ := strings.Cut(test.request, " ")
			a := r.do(method, path, test.body, test.headers...)
			golden(t, test.file+".txt", steady(transcript(strings.TrimSpace(test.request+" "+strings.Join(test.headers, " ")+"\n"+test.body), a)))
			conforms(t, r.server, method, path, a)
		})
	}
}

var agesAndDates = regexp.MustCompile(`\d\d:\d\d:\d\d ago|"oldest_ready_ms": \d+|"duration_ms": \d+|"id": \d+|"next_cursor": "\d+"|"pid": \d+`)

// steady replaces what a clock or a sequence makes.
func steady(text string) string {
	return agesAndDates.ReplaceAllStringFunc(text, func(found string) string {
		if name, _, ok := strings.Cut(found, ": "); ok {
			return name + ": <n>"
		}
		return "<age> ago"
	})
}

// runningTask returns a task that a worker runs, with progress and two lines of log.
func (r *rig) runningTask(kind string) (Task, scheduler.WorkerID) {
	r.t.Helper()
	ctx, queue := r.t.Context(), scheduler.Queue("imports")
	worker := scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), Name: "web-7:4312", Host: "web-7", PID: 4312, Version: "1.2.3",
		Queues: []scheduler.Queue{queue}, Kinds: []string{kind}, Slots: 4, TTL: time.Hour}
	if err := r.client.Register(ctx, worker); err != nil {
		r.t.Fatal(err)
	}
	task := r.submit(`{"kind":"` + kind + `","queue":"imports"}`)
	lease := r.lease(worker.ID, queue, kind)
	report := scheduler.Report{Lease: lease, Progress: scheduler.Progress{Current: 1, Total: 3, Message: "page 1 of 3", Data: json.RawMessage(`{"page":1}`)}}
	if _, _, err := r.client.Report(ctx, []scheduler.Report{report}); err != nil {
		r.t.Fatal(err)
	}
	lines := []scheduler.Line{{Lease: lease, At: time.Now(), Stream: "stdout", Message: "first"}, {Lease: lease, At: time.Now(), Stream: "log", Message: "second"}}
	if err := r.client.Log(ctx, lines); err != nil {
		r.t.Fatal(err)
	}
	return task, worker.ID
}

// failedTask returns a task that gave up at its first attempt.
func (r *rig) failedTask(kind string) Task {
	r.t.Helper()
	ctx, queue := r.t.Context(), scheduler.Queue("mail")
	worker := scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), Name: "web-8:99", Queues: []scheduler.Queue{queue}, Kinds: []string{kind}, Slots: 1, TTL: time.Hour}
	if err := r.client.Register(ctx, worker); err != nil {
		r.t.Fatal(err)
	}
	task := r.submit(`{"kind":"` + kind + `","queue":"mail","payload":{"to":"a@example.org"}}`)
	failure := scheduler.Failure{Code: "panic", Message: "no such address", Stack: "main.go:1", Permanent: true}
	if _, err := r.client.Fail(ctx, r.lease(worker.ID, queue, kind), failure); err != nil {
		r.t.Fatal(err)
	}
	if err := r.client.Deregister(ctx, worker.ID); err != nil {
		r.t.Fatal(err)
	}
	return task
}

// lease takes one task.
func (r *rig) lease(worker scheduler.WorkerID, queue scheduler.Queue, kind string) scheduler.Lease {
	r.t.Helper()
	list, err := r.client.Lease(r.t.Context(), worker, []string{kind}, []scheduler.Ask{{Queue: queue, Limit: 1}})
	if err != nil || len(list) != 1 {
		r.t.Fatalf("leased %d of %s, want 1: %v", len(list), kind, err)
	}
	return list[0].Lease
}
