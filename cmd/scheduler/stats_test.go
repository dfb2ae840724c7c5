package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"

	"github.com/pgscheduler/scheduler/internal/proc"
)

func TestStats(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, url string, c cli) {
		startWorker(t, url, "--demo", "--concurrency", "3")
		for range 2 {
			c.ok("submit", "nobody", "--queue", "lonely")
		}
		c.ok("submit", "demo.echo", "--wait")
		proc.Await(t, "what completed is counted", func() bool { return strings.Contains(c.ok("stats"), " 0.0") })
		text := c.ok("stats")
		for _, want := range []string{"1 worker, 0 of 3 slots busy", "QUEUE", "lonely   2      0          0        0", "default  0"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing:\n%s", want, text)
			}
		}
		var s stats
		if err := json.Unmarshal([]byte(c.ok("stats", "-o", "json")), &s); err != nil || s.Slots != 3 || s.Queues[0].Name != "lonely" || s.Queues[0].Ready != 2 || s.Queues[0].Change != nil || s.Queues[1].Completed <= 0 || s.Queues[1].Failing != 0 {
			t.Errorf("%v: %+v", err, s)
		}
	})
}

// Elsewhere than on a terminal it is a line of JSON at a time.
func TestWatchStats(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, _ string, c cli) {
		c.ok("submit", "nobody")
		p := c.start("stats", "--watch")
		proc.Await(t, "two lines", func() bool { return strings.Count(p.Stdout.String(), "\n") >= 2 })
		p.Signal(os.Interrupt)
		if code := p.Exit(); code != exitInterrupted {
			t.Errorf("exit %d: %s", code, p.Stderr)
		}
		lines := strings.Split(p.Stdout.String(), "\n")
		var s stats
		if err := json.Unmarshal([]byte(lines[1]), &s); err != nil || len(s.Queues) != 1 || s.Queues[0].Change == nil || *s.Queues[0].Change != 0 {
			t.Errorf("%v: %s", err, lines[1])
		}
	})
}

func TestChangeOfQueues(t *testing.T) {
	t.Parallel()
	at := time.Now()
	queue := func(name string, ready int) queueStats {
		return queueStats{Queue: httpapi.Queue{Name: name, Ready: ready}}
	}
	before := stats{At: at, Queues: []queueStats{queue("a", 10), queue("full", 10000)}}
	now := stats{At: at.Add(2 * time.Second), Queues: []queueStats{queue("a", 5), queue("full", 9000), queue("new", 4)}}
	now.since(before)
	for i, want := range []string{"-2.5/s", "", "+2.0/s"} {
		if got := now.Queues[i].change(); got != want {
			t.Errorf("%s: %q, want %q", now.Queues[i].Name, got, want)
		}
	}
}

func TestRatesOfQueues(t *testing.T) {
	t.Parallel()
	minute := time.Date(2026, 11, 21, 10, 5, 0, 0, time.UTC)
	s := stats{At: minute.Add(40 * time.Second), Queues: []queueStats{{Queue: httpapi.Queue{Name: "a"}}, {Queue: httpapi.Queue{Name: "b"}}}}
	s.rates([]httpapi.Stat{{At: minute.Add(-2 * time.Minute), Queue: "a", Completed: 1e6}, {At: minute.Add(-time.Minute), Queue: "a", Kind: "x", Completed: 50, Failed: 5},
		{At: minute, Queue: "a", Kind: "y", Completed: 150, Dead: 3, Crashed: 2, Cancelled: 7}, {At: minute, Queue: "gone", Completed: 1}})
	if a, b := s.Queues[0], s.Queues[1]; a.Completed != 2 || rate(a.Failing) != "0.1/s" || b.Completed != 0 || rate(b.Completed) != "" {
		t.Errorf("%+v, %+v", a, b)
	}
}
