package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/load"
)

// sample is three rounds, in the second of which the machine was half as fast, and River failed in the third.
func sample() []outcome {
	result := func(rate float64) []load.Result {
		return []load.Result{{Workload: "drain", Case: "work", Tasks: 100, PerSecond: load.Figure(rate), HOT: load.Figure(40)}}
	}
	return []outcome{
		{Round: 1, Step: "drain", Contestant: "ours", Results: result(3000)},
		{Round: 1, Step: "drain", Contestant: "river", Results: result(1000)},
		{Round: 2, Step: "drain", Contestant: "ours", Results: result(1500)},
		{Round: 2, Step: "drain", Contestant: "river", Results: result(500)},
		{Round: 3, Step: "drain", Contestant: "ours", Results: result(3600)},
		{Round: 3, Step: "drain", Contestant: "river", Error: "exit status 1"},
	}
}

func TestRowsHoldMediansAndRatiosOfRounds(t *testing.T) {
	t.Parallel()
	table := rows(sample(), steps)
	if len(table) != 2 {
		t.Fatalf("%d rows: %+v", len(table), table)
	}
	rate, hot := table[0], table[1]
	if rate.Metric != "tasks/s" || rate.Better != "more" || rate.Medians["ours"] != 3000 || rate.Medians["river"] != 750 || rate.Ratios["river"] != 3 {
		t.Errorf("%+v", rate)
	}
	if hot.Metric != "HOT updates %" || len(hot.Ratios) != 0 {
		t.Errorf("a ratio of shares: %+v", hot)
	}
	if got := rate.cells(); !slices.Equal(got, []string{"drain work", "tasks/s", "more", "3000", "750", "-", "-", "-", "-", "3.00", "-", "-", "-"}) {
		t.Errorf("cells: %q", got)
	}
}

func TestJudgeKnowsReachedMissedAndUnmeasured(t *testing.T) {
	t.Parallel()
	got := judge(sample())
	if len(got) != 1 || got[0].Goal != "drain work, tasks/s by river's" || got[0].Measured != 3 || !got[0].Reached {
		t.Errorf("%+v", got)
	}
	slow := sample()
	for i := range slow {
		if slow[i].Contestant == "ours" {
			slow[i].Results[0].PerSecond = load.Figure(100)
		}
	}
	if got := judge(slow); len(got) != 1 || got[0].Reached {
		t.Errorf("%+v", got)
	}
}

// A goal that names what no step measures would never be judged.
func TestGoalsNameWhatIsMeasured(t *testing.T) {
	t.Parallel()
	for _, g := range goals {
		for _, p := range []*pick{&g.top, g.bottom} {
			if p == nil {
				continue
			}
			if !slices.ContainsFunc(metrics, func(m metric) bool { return m.name == p.metric }) {
				t.Errorf("%s: there is no figure %q", g.name, p.metric)
			}
			if !slices.ContainsFunc(steps, func(s step) bool { return s.name == p.step && s.has(p.contestant) }) {
				t.Errorf("%s: %s does not run %q", g.name, p.contestant, p.step)
			}
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := median(slices.Clone(c.list)); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.list, got, c.want)
		}
	}
}

func TestReportIsWrittenTwice(t *testing.T) {
	t.Parallel()
	runs := sample()
	r := report{About: about{Date: "2026-01-02T03:04:05Z", Commit: "abc1234", Settings: map[string]string{"fsync": "on"}}, Missing: map[string]string{"pgboss": "node is not installed"},
		Contestants: []description{{"ours", "abc1234", "as it comes"}}, Runs: runs, Rows: rows(runs, steps), Goals: judge(runs)}
	path := filepath.Join(t.TempDir(), "deep", "results")
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	markdown, err := os.ReadFile(path + ".md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2026-01-02 at abc1234", "fsync=on", "**pgboss** could not be run: node is not installed",
		"| drain work | tasks/s | more | 3000 | 750 |", "| drain work, tasks/s by river's | ≥ 2.6 | 3 | reached |", "| 3 | drain | river | failed |"} {
		if !strings.Contains(string(markdown), want) {
			t.Errorf("the report lacks %q:\n%s", want, markdown)
		}
	}
	raw, err := os.ReadFile(path + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var again report
	if err := json.Unmarshal(raw, &again); err != nil || len(again.Runs) != len(runs) || again.Rows[0].Ratios["river"] != 3 {
		t.Errorf("read back: %v, %+v", err, again.Rows)
	}
	if r.failed() == nil {
		t.Error("a run failed, and nothing says so")
	}
}
