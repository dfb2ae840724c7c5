package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// A process that is killed while it delivers: another one delivers again, with the next attempt, and its slot is free.
func TestKilledPusherDeliversElsewhere(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan float64, 10), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var task struct{ Attempt float64 }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &task); err != nil {
			t.Error(err)
		}
		arrived <- task.Attempt
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	c.ok("endpoints", "set", "shop", server.URL, "--kind", "k", "--concurrency", "1")
	push := func() *proc.Process {
		return startWorker(t, url, "--push", "--push-allow", "127.0.0.1")
	}
	first := push()
	id := c.ok("submit", "k")
	if n := <-arrived; n != 1 {
		t.Errorf("attempt %v", n)
	}
	first.Signal(syscall.SIGKILL)
	first.Exit()
	execute(t, connect(t, url), "update scheduler.workers set seen_at = seen_at - interval '1 hour'") // as if it had been silent for so long
	second := push()
	if n := <-arrived; n != 2 {
		t.Errorf("attempt %v", n)
	}
	close(answer)
	proc.Await(t, "it is done", func() bool { return stateOf(t, c, id) == "completed" })
	second.Signal(syscall.SIGTERM)
	if code := second.Exit(); code != exitOK {
		t.Errorf("exit %d\n%s", code, second.Stderr)
	}
	if got := c.ok("workers", "list", "-o", "json"); got != `{"items":[]}` {
		t.Errorf("left: %s", got)
	}
	if strings.Contains(first.Stderr.String()+second.Stderr.String(), "whsec") {
		t.Error("a secret is logged")
	}
}

// leasesOf returns a receiver that answers 202, and the leases that it was given.
func leasesOf(t *testing.T) (address string, leases <-chan string) {
	t.Helper()
	given := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		given <- r.Header.Get("Scheduler-Lease")
	}))
	t.Cleanup(server.Close)
	return server.URL, given
}

// A process that is killed, or ends, after a 202 takes nothing along: the receiver ends the task by its lease, and nobody delivers it again.
func TestAcceptedTaskOutlivesThePusher(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]os.Signal{"killed": syscall.SIGKILL, "drained": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, leases := leasesOf(t)
			url := pgtest.DB(t)
			c := sqlDoor(t, url)
			api := serve(t, url, "secret")
			c.ok("endpoints", "set", "shop", address, "--kind", "k", "--concurrency", "1", "--complete-within", "1h")
			push := func() *proc.Process {
				return startWorker(t, url, "--push", "--push-allow", "127.0.0.1", "--drain-timeout", "24h")
			}
			first := push()
			id := c.ok("submit", "k")
			lease := <-leases
			proc.Await(t, "it is accepted", func() bool { return strings.Contains(c.ok("tasks", "why", id), "shop accepted attempt 1") })
			first.Signal(signal)
			if code := first.Exit(); signal == syscall.SIGTERM && code != exitOK {
				t.Errorf("exit %d\n%s", code, first.Stderr)
			}
			execute(t, connect(t, url), "update scheduler.workers set seen_at = seen_at - interval '1 hour'") // as if it had been silent for so long
			second := push()
			proc.Await(t, "the first is gone", func() bool { return strings.Count(c.ok("workers", "list", "-o", "json"), `"id"`) == 1 })
			next := c.ok("submit", "k") // waits for the only slot
			proc.Await(t, "the endpoint is busy", func() bool { return strings.Contains(c.ok("tasks", "why", next), "takes at once") })
			if got := call(t, api+"/v1/leases/"+lease+"/heartbeat", `{"progress":{"current":1,"total":2}}`, 200); !strings.Contains(got, `"state":"run","cancelled":false`) {
				t.Error(got)
			}
			for range 2 {
				call(t, api+"/v1/leases/"+lease+"/complete", `{"result":"later"}`, 200)
			}
			call(t, api+"/v1/leases/"+<-leases+"/complete", ``, 200)
			for i, task := range []string{id, next} {
				got := unmarshal[taskOf](t, c.ok("tasks", "get", task, "-o", "json"))
				if got.State != "completed" || got.Attempt != 1 || i == 0 && string(got.Result) != `"later"` {
					t.Errorf("%+v", got)
				}
			}
			call(t, api+"/v1/leases/"+lease+"/fail", ``, 409)
			second.Signal(syscall.SIGTERM)
			if code := second.Exit(); code != exitOK || len(leases) != 0 {
				t.Errorf("exit %d, %d more deliveries\n%s", code, len(leases), second.Stderr)
			}
			if strings.Contains(first.Stderr.String()+second.Stderr.String(), "level=WARN") {
				t.Errorf("%s%s", first.Stderr, second.Stderr)
			}
		})
	}
}

// With no process left that pushes, any other ends what was accepted: when its time is over, and when it is cancelled.
func TestAcceptedTaskEndsWithoutAnyPusher(t *testing.T) {
	t.Parallel()
	address, leases := leasesOf(t)
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	c.ok("endpoints", "set", "shop", address, "--kind", "k", "--complete-within", "1h")
	pusher := startWorker(t, url, "--push", "--push-allow", "127.0.0.1")
	late, cancelled := c.ok("submit", "k", "--max-attempts", "1"), c.ok("submit", "k")
	tokens := []string{<-leases, <-leases}
	for _, id := range []string{late, cancelled} {
		proc.Await(t, "it is accepted", func() bool { return strings.Contains(c.ok("tasks", "why", id), "shop accepted attempt 1") })
	}
	pusher.Signal(syscall.SIGKILL)
	pusher.Exit()
	api := serve(t, url, "secret")
	c.ok("tasks", "cancel", cancelled)
	proc.Await(t, "it is cancelled", func() bool { return stateOf(t, c, cancelled) == "cancelled" })
	if _, err := connect(t, url).Exec(t.Context(), `update scheduler.leases set accepted_at = accepted_at - interval '1 h', timeout_at = now() where endpoint is not null`); err != nil {
		t.Fatal(err)
	}
	proc.Await(t, "its time is over", func() bool { return stateOf(t, c, late) == "failed" })
	if got := unmarshal[taskOf](t, c.ok("tasks", "get", late, "-o", "json")); got.Error.Code != "timeout" || got.Error.Message != "endpoint shop answered 202 and did not end the task within 1h0m0s" {
		t.Errorf("%+v", got.Error)
	}
	for _, token := range tokens {
		call(t, api+"/v1/leases/"+token+"/complete", ``, 409)
	}
}

// call posts a body with the token of serve, and returns the answer, whose status must be as wanted.
func call(t *testing.T, url, body string, want int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer secret")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		t.Errorf("%s: %s, want %d: %s, %v", url, response.Status, want, answer, err)
	}
	return string(answer)
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, _ string, c cli) {
		made := unmarshal[httpapi.Endpoint](t, c.ok("endpoints", "set", "shop", "https://shop.example/x", "--kind", "a,b", "--queue", "mail", "--rate", "2.5", "--timeout", "3s",
			"--complete-within", "1m", "--breaker-failures", "7", "--breaker-pause", "2s", "-o", "json"))
		if made.Secret == nil || !strings.HasPrefix(*made.Secret, "whsec_") || len(made.Kinds) != 2 || made.Queues[0] != "mail" || *made.Rate != 2.5 || made.TimeoutMS != 3000 ||
			made.CompleteWithinMS != 60000 || made.Breaker.Limit != 7 || made.Breaker.PauseMS != 2000 || made.Concurrency != 10 {
			t.Errorf("%+v", made)
		}
		if got := c.ok("endpoints", "set", "shop", "https://shop.example/x", "--kind", "a"); got != "shop  closed" {
			t.Errorf("%q", got)
		}
		if got := c.ok("endpoints", "pause", "shop"); got != "shop  paused" {
			t.Errorf("%q", got)
		}
		if got := c.ok("endpoints", "list"); !strings.Contains(got, "shop  paused") || strings.Contains(got, "whsec") {
			t.Errorf("%q", got)
		}
		if got := c.ok("endpoints", "resume", "shop"); got != "shop  closed" {
			t.Errorf("%q", got)
		}
		c.fails(exitUsage, "endpoints", "set", "x", "https://shop.example/")
		for _, bad := range [][]string{{"ftp://x", "--kind", "a"}, {"https://x", "--kind", "a b"}, {"https://x", "--kind", "a", "--concurrency", "0"},
			{"https://x", "--kind", "a", "--rate", "0"}, {"https://x", "--kind", "a", "--secret", "whsec_short"}, {"https://x", "--kind", "a", "--timeout", "1ms"}} {
			if p := c.run(append([]string{"endpoints", "set", "x"}, bad...)...); p.code == 0 || strings.Contains(p.stderr, "whsec_short") {
				t.Errorf("%v: %d %s", bad, p.code, p.stderr)
			}
		}
		c.fails(exitNotFound, "endpoints", "pause", "none")
		c.ok("endpoints", "delete", "shop")
		c.fails(exitNotFound, "endpoints", "delete", "shop")
		if got := c.ok("endpoints", "list", "-o", "json"); got != `{"items":[]}` {
			t.Errorf("%s", got)
		}
	})
}

func TestPushFlags(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.DB(t))
	c.fails(exitUsage, "worker", "--push-allow", "localhost", "--demo")
	if got := c.fails(exitUsage, "worker", "--push", "--push-allow", "10.0.0.1/8"); !strings.Contains(got, `--push-allow: "10.0.0.1/8" is neither`) {
		t.Errorf("%s", got)
	}
	c.fails(exitUsage, "worker")
}
