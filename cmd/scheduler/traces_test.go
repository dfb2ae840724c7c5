package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// With an endpoint in the environment, the spans of a task's life arrive there, from whichever process makes them.
func TestTracesAreExported(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var sent bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body) // what is missing is missed below
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/v1/traces" {
			sent.Write(raw)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(collector.Close)
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	c.env = append(c.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=50", "TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	w := c.start("worker", "--exec", `k=sh -c 'echo "{\"op\":\"result\",\"result\":\"$TRACEPARENT\"}" >&3'`)
	w.Says("msg=register")
	if got := c.ok("submit", "k", "--wait"); len(got) != 57 || got[1:36] != "00-4bf92f3577b34da6a3ce929d0e0e4736" || got[37:53] == "00f067aa0ba902b7" {
		t.Errorf("the command was told %s", got)
	}
	proc.Await(t, "the spans", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, name := range []string{"submit k", "wait k", "run k", "service.name"} {
			if !bytes.Contains(sent.Bytes(), []byte(name)) {
				return false
			}
		}
		return true
	})
}

// Every command that makes tasks passes on the trace of the environment, through either door.
func TestTraceOfTheEnvironment(t *testing.T) {
	t.Parallel()
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	bothDoors(t, func(t *testing.T, _ string, c cli) {
		c.env = append(c.env, "TRACEPARENT="+parent)
		trace := func(id string) string {
			t.Helper()
			var task struct{ TraceParent string }
			if err := json.Unmarshal([]byte(c.ok("tasks", "get", id, "-o", "json")), &task); err != nil {
				t.Fatal(err)
			}
			return task.TraceParent
		}
		c.ok("topics", "subscriptions", "set", "s", "a", "k")
		c.ok("schedules", "set", "s", "@yearly", "k")
		var published struct{ Tasks []struct{ ID string } }
		if err := json.Unmarshal([]byte(c.ok("topics", "publish", "a", "-o", "json")), &published); err != nil || len(published.Tasks) != 1 {
			t.Fatal(published, err)
		}
		for verb, id := range map[string]string{"submit": c.ok("submit", "k"), "trigger": c.ok("schedules", "trigger", "s"), "publish": published.Tasks[0].ID} {
			if got := trace(id); got != parent {
				t.Errorf("%s: %q", verb, got)
			}
		}
	})
}
