package metrics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker/push"
)

// has checks that lines are among the metrics.
func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// What remote workers do through a server is counted as what a worker does, each end once, however often it is told.
func TestRemoteWorkersAreCounted(t *testing.T) {
	t.Parallel()
	client := open(t, pgtest.DB(t))
	w := work(t, client, map[string]func(context.Context) error{"ok": func(context.Context) error { return nil }})
	await(t, client, submit(t, client, scheduler.NewTask{Kind: "ok"}))
	for deadline := time.Now().Add(patience); ended(w) < 1 && time.Now().Before(deadline); { // an attempt is counted once its outcome is stored
		runtime.Gosched()
	}
	for _, kind := range []string{"done", "again", "dead", "later", "back", "stopped", "lost"} {
		submit(t, client, scheduler.NewTask{Kind: kind, Queue: "php", MaxAttempts: map[string]int{"dead": 1}[kind]})
	}
	got, err := client.Poll(t.Context(), scheduler.Poll{Max: 10, Worker: scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), Name: "php-1", Slots: 10, TTL: time.Hour,
		Queues: []scheduler.Queue{"php"}, Kinds: []string{"done", "again", "dead", "later", "back", "stopped", "lost"}}})
	if err != nil || len(got.Tasks) != 7 {
		t.Fatal(len(got.Tasks), err)
	}
	for _, task := range got.Tasks {
		s := scheduler.Settling{Lease: task.Lease}
		switch task.Kind {
		case "done":
			s.Verb = scheduler.VerbComplete
		case "again", "dead":
			s.Verb, s.Failure = scheduler.VerbFail, scheduler.Failure{Code: "error", Message: "no"}
		case "later":
			s.Verb, s.Delay = scheduler.VerbRelease, time.Hour
		case "back":
			s.Verb = scheduler.VerbRelease
		case "stopped":
			s.Verb = scheduler.VerbFail
			if _, err := client.Cancel(t.Context(), task.Task, ""); err != nil {
				t.Fatal(err)
			}
		case "lost":
			s.Verb, s.Worker = scheduler.VerbComplete, scheduler.NewWorkerID()
		}
		for range 2 { // the second time because the answer was lost
			if _, err := client.Settle(t.Context(), s); err != nil && (task.Kind != "lost" || !errors.Is(err, scheduler.ErrLeaseLost)) {
				t.Errorf("%s: %v", task.Kind, err)
			}
		}
	}
	var lines []string
	for kind, outcome := range map[string]string{"done": "completed", "again": "retried", "dead": "failed", "later": "snoozed", "back": "released", "stopped": "cancelled"} {
		lines = append(lines, fmt.Sprintf(`scheduler_attempts_total{kind=%q,outcome=%q,queue="php"} 1`, kind, outcome),
			fmt.Sprintf(`scheduler_task_run_seconds_count{kind=%q,queue="php"} 1`, kind), fmt.Sprintf(`scheduler_task_wait_seconds_count{kind=%q,queue="php"} 1`, kind))
	}
	lines = append(lines, `scheduler_attempts_total{kind="done",outcome="failed",queue="php"} 0`, `scheduler_attempts_total{kind="ok",outcome="completed",queue="default"} 1`,
		`scheduler_task_run_seconds_count{kind="lost",queue="php"} 0`, `scheduler_leases_lost_total 2`, `scheduler_worker_slots 10`)
	has(t, scrape(t, New(Config{Client: client, Worker: w})), lines...)
	server := scrape(t, New(Config{Client: client})) // as of a process without a worker
	has(t, server, `scheduler_attempts_total{kind="dead",outcome="failed",queue="php"} 1`, `scheduler_leases_lost_total 2`)
	if strings.Contains(server, "scheduler_worker_slots") {
		t.Error("slots of no worker")
	}
}

// What is delivered to endpoints is counted too, and goes on to be when the endpoint has changed, which begins its line anew.
func TestDeliveriesAreCountedAsAttempts(t *testing.T) {
	t.Parallel()
	client := open(t, pgtest.DB(t))
	var accepts atomic.Bool // from when on is for the test to say: a delivery may go as the endpoint was just before it changed
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if accepts.Load() {
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	defer shop.Close()
	set := func(concurrency int) {
		t.Helper()
		if _, _, err := client.SetEndpoint(t.Context(), scheduler.NewEndpoint{Name: "shop", URL: shop.URL, Kinds: []string{"pushed"}, Concurrency: concurrency}); err != nil {
			t.Fatal(err)
		}
	}
	set(2)
	pusher, err := push.New(client, push.Config{Allow: []string{"127.0.0.1"}, DrainTimeout: -1, Logger: silent})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- pusher.Run(ctx) }() // the deferred wait for it
	defer func() { stop(); <-done }()
	handler := New(Config{Client: client, Pusher: pusher})
	until := func(line string) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.After(patience); ; {
			text := scrape(t, handler)
			if strings.Contains(text, "\n"+line+"\n") {
				return
			}
			select {
			case <-deadline:
				t.Fatalf("never: %s\n%s", line, text)
			case <-tick.C:
			}
		}
	}
	submit(t, client, scheduler.NewTask{Kind: "pushed"})
	until(`scheduler_attempts_total{kind="pushed",outcome="completed",queue="default"} 1`)
	set(3)
	submit(t, client, scheduler.NewTask{Kind: "pushed"})
	until(`scheduler_attempts_total{kind="pushed",outcome="completed",queue="default"} 2`)
	until(`scheduler_task_run_seconds_count{kind="pushed",queue="default"} 2`)

	// What is accepted runs on, until somebody ends it.
	accepts.Store(true)
	id := submit(t, client, scheduler.NewTask{Kind: "pushed"})
	until(`scheduler_attempts_total{kind="pushed",outcome="elsewhere",queue="default"} 1`)
	task, err := client.Task(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	lease := scheduler.Lease{Queue: task.Queue, Task: id, Worker: *task.WorkerID, Attempt: task.Attempt}
	if _, err := client.Settle(t.Context(), scheduler.Settling{Lease: lease, Verb: scheduler.VerbComplete}); err != nil {
		t.Fatal(err)
	}
	has(t, scrape(t, handler), `scheduler_attempts_total{kind="pushed",outcome="completed",queue="default"} 3`, `scheduler_task_run_seconds_count{kind="pushed",queue="default"} 3`,
		`scheduler_task_wait_seconds_count{kind="pushed",queue="default"} 3`)
}
