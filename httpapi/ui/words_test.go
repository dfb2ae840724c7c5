package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

func TestCronWords(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"* * * * *":           "every minute",
		"*/15 * * * *":        "every 15 minutes",
		"0 * * * *":           "every hour",
		"5,35 * * * *":        "every hour at minute 5 and 35",
		"0 */6 * * *":         "every 6 hours at minute 0",
		"30 2 * * *":          "every day at 02:30",
		"0 30 2 * * *":        "every day at 02:30",
		"0 8 * * 1-5":         "on weekdays at 08:00",
		"0 8 * * mon-fri":     "on weekdays at 08:00",
		"0 8,20 * * *":        "every day at 08:00 and 20:00",
		"0 4 * * 1":           "every Monday at 04:00",
		"0 4 * * sun":         "every Sunday at 04:00",
		"0 4 * * 0,6":         "every Sunday and Saturday at 04:00",
		"0 0 1 * *":           "on day 1 of the month at 00:00",
		"0 0 1,15 * ?":        "on days 1 and 15 of the month at 00:00",
		"0 0 1 1 *":           "on day 1 in January at 00:00",
		"0 9 * jan,jul *":     "every day in January and July at 09:00",
		"*/10 9-17 * * 1-5":   "every 10 minutes from 09:00 to 17:59 on weekdays",
		"@hourly":             "every hour",
		"@every 90s":          "every 1 min 30 s",
		"@every 5s":           "every 5 s",
		"0 0 13 * 5":          "", // either day will do
		"1-59/2 * * * *":      "",
		"*/7 1-3,9 * * *":     "",
		"*/7 * * * *":         "", // 4 minutes pass from :56 to :00
		"*/40 * * * *":        "",
		"*/1 * * * *":         "every minute",
		"0 */5 * * *":         "",
		"15 */1 * * *":        "every hour at minute 15",
		"15 30 2 * * *":       "",
		"not cron":            "",
		"":                    "",
		"@every soon":         "",
		"0 8 * * mon#1":       "",
		"60 * * * *":          "",
		"0 0,1,2,3,4,5 * * *": "every day at 00:00, 01:00, 02:00, 03:00, 04:00 and 05:00",
	} {
		if got := cronWords(expression); got != want {
			t.Errorf("%q: %q, want %q", expression, got, want)
		}
	}
}

func TestNumbersAndTimes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1 000", -1000: "-1 000", 1234567: "1 234 567"} {
		if got := strings.ReplaceAll(number(n), "\u202f", " "); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	for d, want := range map[time.Duration]string{0: "0 ms", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s", time.Minute: "1 min",
		63 * time.Second: "1 min 3 s", 59 * time.Minute: "59 min", 25 * time.Hour: "1 d 1 h", 2 * time.Hour: "2 h"} {
		if got := lasted(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 655360: "640 KiB", 13107200: "12.5 MiB", 1 << 62: "4194304 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
	now := time.Now()
	if got := []string{ago(now, now), ago(now.Add(-time.Minute), now), ago(now.Add(2*time.Hour), now)}; got[0] != "now" || got[1] != "1 min ago" || got[2] != "in 2 h" {
		t.Errorf("%q", got)
	}
	for n, want := range map[int64]int64{0: 0, 999: 999, 1234: 1230, 4812345: 4810000} {
		if got := rounded(n); got != want {
			t.Errorf("%d: %d", n, got)
		}
	}
	for n, want := range map[int64]int64{1: 1, 3: 5, 7: 10, 11: 20, 5000: 5000, 5001: 10000} {
		if got := ceiling(n); got != want {
			t.Errorf("%d: %d", n, got)
		}
	}
}

// TestStatement: what people copy means what was sent, whatever was looked for.
func TestStatement(t *testing.T) {
	t.Parallel()
	got := statement("-- find: x. @queue. Rows: n.\nselect @queue::text, @before, @limit, @unknown\n",
		map[string]any{"queue": `it's \ "q"`, "before": nil, "limit": 5})
	want := "-- find: x. @queue. Rows: n.\nselect  E'it''s \\\\ \"q\"'::text, null, 5, @unknown;"
	if got.Name != "find" || got.Text != want {
		t.Errorf("%q\n%q", got, want)
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	if got := shell(`{"a": "it's $HOME"}`); got != `'{"a": "it'\''s $HOME"}'` {
		t.Error(got)
	}
}

// TestSeries: steps without statistics are there all the same, and what is out of the span is not.
func TestSeries(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 30, 20, 0, time.UTC)
	at := func(minutes int) time.Time {
		return now.Truncate(time.Minute).Add(time.Duration(minutes) * time.Minute)
	}
	s := newSeries([]scheduler.Stat{{At: at(-200), Completed: 9}, {At: at(-60), Completed: 9}, {At: at(-59), Completed: 1}, {At: at(-1), Completed: 3, Failed: 1, Dead: 1, Crashed: 1},
		{At: at(-1), Completed: 4}, {At: at(0), Completed: 2}, {At: at(1), Completed: 9}}, scheduler.StatsFilter{}, now)
	if len(s.steps) != 60 || s.steps[0].Completed != 1 || s.steps[58].Completed != 7 || s.steps[58].Failed != 3 || s.steps[59].Completed != 2 || s.perMinute() != "10" {
		t.Errorf("%+v", s)
	}
	if chart := string(s.chart()); !strings.Contains(chart, "10 completed and 3 failed") || strings.Count(chart, "<g>") != 60 {
		t.Error(chart)
	}
}

// TestLanes: waited, ran, waits again; the bars lie on one scale.
func TestLanes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	ended := now.Add(-50 * time.Second)
	why := "<b>"
	list, scale := lanes(scheduler.Task{State: scheduler.Scheduled, CreatedAt: now.Add(-100 * time.Second), RunAt: now.Add(100 * time.Second)},
		[]scheduler.Attempt{{Attempt: 1, Outcome: "failed", StartedAt: now.Add(-80 * time.Second), EndedAt: &ended, Error: &why}}, now)
	if len(list) != 2 || list[0].Waited != "waited 20 s" || list[0].Ran != "30 s" || list[1].Label != "Next" || list[1].Due != "due in 1 min 40 s" {
		t.Fatalf("%+v", list)
	}
	for _, part := range []string{`class="waited" x="0.0" y="6" width="100.0"`, `class="failed" x="100.0" y="1" width="150.0"`, `class="now" x="500.0"`} {
		if !strings.Contains(string(list[0].Bar), part) {
			t.Errorf("%s is not in %s", part, list[0].Bar)
		}
	}
	if !strings.Contains(string(list[0].Bar), "<title>ran 30 s, 08:58:40 to 08:59:10 UTC</title>") || scale.String() != "2026-11-21 08:58:20 to 09:01:40 UTC" {
		t.Errorf("%s on %s", list[0].Bar, scale)
	}
	if got, _ := lanes(scheduler.Task{State: scheduler.Completed, CreatedAt: now, FinishedAt: &now}, nil, now); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}
