package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
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
