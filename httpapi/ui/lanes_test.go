package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestLanesTellWaitsApart: what was not due did not wait.
func TestLanesTellWaitsApart(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	ended := func(seconds int) *time.Time { t := at(seconds); return &t }
	worker := "web-7"
	try := func(n int, outcome string, from int, to *time.Time) scheduler.Attempt {
		return scheduler.Attempt{Attempt: n, Outcome: outcome, Worker: &worker, StartedAt: at(from), EndedAt: to}
	}
	for name, test := range map[string]struct {
		task     scheduler.Task
		attempts []scheduler.Attempt
		want     []string // paused, waited, due of each
	}{
		"never ran":                  {scheduler.Task{State: scheduler.Ready, CreatedAt: at(-60), RunAt: at(-60)}, nil, []string{"|waited 1 min|"}},
		"for later":                  {scheduler.Task{State: scheduler.Scheduled, CreatedAt: at(-60), RunAt: at(60)}, nil, []string{"delay 2 min||due in 1 min"}},
		"was for later":              {scheduler.Task{State: scheduler.Ready, CreatedAt: at(-60), RunAt: at(-20)}, nil, []string{"delay 40 s|waited 20 s|"}},
		"ran at its time":            {scheduler.Task{State: scheduler.Running, Attempt: 1, CreatedAt: at(-60), RunAt: at(-20)}, []scheduler.Attempt{try(1, "running", -20, nil)}, []string{"delay 40 s||"}},
		"ran late":                   {scheduler.Task{State: scheduler.Running, Attempt: 1, CreatedAt: at(-60), RunAt: at(-40)}, []scheduler.Attempt{try(1, "running", -20, nil)}, []string{"delay 20 s|waited 20 s|"}},
		"backs off":                  {scheduler.Task{State: scheduler.Scheduled, Attempt: 1, CreatedAt: at(-60), RunAt: at(30)}, []scheduler.Attempt{try(1, "failed", -50, ended(-20))}, []string{"|waited 10 s|", "backoff 50 s||due in 30 s"}},
		"backed off":                 {scheduler.Task{State: scheduler.Running, Attempt: 2, CreatedAt: at(-60), RunAt: at(-10)}, []scheduler.Attempt{try(1, "failed", -50, ended(-40)), try(2, "running", -5, nil)}, []string{"|waited 10 s|", "backoff 30 s|waited 5.0 s|"}},
		"snoozed":                    {scheduler.Task{State: scheduler.Scheduled, Attempt: 1, CreatedAt: at(-60), RunAt: at(30)}, []scheduler.Attempt{try(1, "snoozed", -50, ended(-20))}, []string{"|waited 10 s|", "snooze 50 s||due in 30 s"}},
		"its worker was lost":        {scheduler.Task{State: scheduler.Ready, Attempt: 1, CreatedAt: at(-60), RunAt: at(-60)}, []scheduler.Attempt{try(1, "crashed", -50, ended(-20))}, []string{"|waited 10 s|", "|waited 20 s|"}},
		"gave up, was retried":       {scheduler.Task{State: scheduler.Ready, Attempt: 1, CreatedAt: at(-60), RunAt: at(-25)}, []scheduler.Attempt{try(1, "failed", -50, ended(-40))}, []string{"|waited 10 s|", "given up 15 s|waited 25 s|"}},
		"was cancelled, and retried": {scheduler.Task{State: scheduler.Ready, CreatedAt: at(-60), RunAt: at(-25)}, nil, []string{"cancelled 35 s|waited 25 s|"}},
	} {
		var retried []time.Time
		if strings.Contains(name, "retried") {
			retried = []time.Time{at(-25), at(-100), at(5)}
		}
		list, _ := lanes(test.task, test.attempts, now, retried...)
		var got []string
		for _, l := range list {
			got = append(got, l.Paused+"|"+l.Waited+"|"+l.Due)
			if strings.Contains(string(l.Bar), `class="paused"`) != (l.Paused != "") || strings.Contains(string(l.Bar), `width="-`) {
				t.Errorf("%s: drawn otherwise: %s", name, l.Bar)
			}
		}
		if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}

	// The first that is drawn comes after one that is not.
	var many []scheduler.Attempt
	for n := range mostLanes + 1 {
		many = append(many, try(n+1, "failed", 10*n-600, ended(10*n-595)))
	}
	list, _ := lanes(scheduler.Task{State: scheduler.Failed, Attempt: len(many), CreatedAt: at(-600), RunAt: at(-300), FinishedAt: ended(-295)}, many, now)
	if first := list[0]; len(list) != mostLanes || first.Label != "Attempt 2" || first.Paused != "backoff 5.0 s" {
		t.Errorf("%d lanes, the first: %+v", len(list), first)
	}
}
