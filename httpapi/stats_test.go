package httpapi

import (
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

func TestStats(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.exec(`insert into scheduler.stats (minute, queue, kind, completed, run_ms) values (date_trunc('minute', now()), 'q', 'k', 7, 70)`)
	for _, window := range []string{"", "?window=hour", "?window=day&queue=q&kind=k"} {
		a := r.get("/v1/stats" + window).want(200)
		conforms(t, r.server, "GET", "/v1/stats", a)
		if text := string(a.body); !strings.Contains(text, `"completed":7,`) || !strings.Contains(text, `"run_ms":70,`) {
			t.Error(text)
		}
	}
	if text := string(r.get("/v1/stats?queue=none").want(200).body); !strings.Contains(text, `"items":[]`) {
		t.Error(text)
	}
	r.get("/v1/stats?window=year").want(422)
	r.client.Count(scheduler.Ended{Queue: "q", Kind: "k", State: scheduler.Completed, Ran: time.Second})
}
