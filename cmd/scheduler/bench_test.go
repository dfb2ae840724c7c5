package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/internal/load/self"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// benched runs a benchmark and returns its results by workload and case.
func benched(t *testing.T, c cli, args ...string) map[string]load.Result {
	t.Helper()
	results := map[string]load.Result{}
	for line := range strings.Lines(c.ok(append([]string{"bench", "-o", "json"}, args...)...)) {
		var r load.Result
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		results[strings.TrimSpace(r.Workload+" "+r.Case)] = r
	}
	return results
}

func TestBench(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyDB(t)
	c := sqlDoor(t, url)
	results := benched(t, c, "drain", "submit", "submit-http", "scale", "--tasks", "200", "--clients", "1,4", "--concurrency", "20")
	for name, tasks := range map[string]int64{"drain insert": 200, "drain work": 200, "submit clients=1": 200, "submit clients=4": 200,
		"submit-http clients=1": 200, "submit-http clients=4": 200, "scale processes=1": 200, "scale processes=8": 200} {
		r, ok := results[name]
		if !ok || r.Tasks != tasks || r.PerSecond == nil || *r.PerSecond <= 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if why := c.fails(exitSchema, "tasks", "list"); !strings.Contains(why, "no schema") {
		t.Errorf("the schema is still there: %s", why)
	}
}

// Followers on a server of their own see reports, and the end of their tasks.
func TestBenchLive(t *testing.T) {
	t.Parallel()
	results := benched(t, sqlDoor(t, pgtest.EmptyDB(t)), "live", "--tasks", "30", "--seconds", "2")
	if r := results["live report"]; r.P50 == nil || *r.P50 <= 0 || r.P99 == nil || *r.P99 < *r.P50 {
		t.Errorf("reports: %+v", r)
	}
	for _, name := range []string{"live few", "live many"} {
		if r := results[name]; r.Tasks != 30 || r.PerSecond == nil || r.PerFollower == nil && runtime.GOOS == "linux" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// onLinux are figures that other systems do not have.
var onLinux = []string{"steal_percent", "server_cpu_us_per_task", "rss_mb", "peak_rss_mb"}

// What each workload reports. The figures change; which ones there are does not.
func TestBenchAsJSON(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.EmptyDB(t))
	out := c.ok("bench", "drain", "latency", "backlog", "memory", "-o", "json", "--tasks", "3000", "--seconds", "1", "--concurrency", "50")
	var b bytes.Buffer
	for line := range strings.Lines(out) {
		var r load.Result
		var fields map[string]any
		if err := errors.Join(json.Unmarshal([]byte(line), &fields), json.Unmarshal([]byte(line), &r)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		b.WriteString(strings.TrimSpace(r.Workload+" "+r.Case) + ":")
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !slices.Contains([]string{"workload", "case", "notes"}, name) && !slices.Contains(onLinux, name) {
				b.WriteString(" " + name)
			}
		}
		b.WriteByte('\n')
	}
	golden(t, filepath.Join("testdata", "bench.golden"), b.String())
}

func TestBenchAsText(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.EmptyDB(t))
	r := c.run("bench", "drain", "--tasks", "100")
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if r.code != 0 || len(lines) != 3 {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if !strings.HasPrefix(lines[0], "WORKLOAD  CASE") || !strings.HasPrefix(lines[2], "drain     work") {
		t.Errorf("the table:\n%s", r.stdout)
	}
	if !strings.Contains(r.stderr, "measuring drain") {
		t.Errorf("nothing says what is going on:\n%s", r.stderr)
	}
}

func TestBenchIsRefused(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.DB(t))
	c.ok("submit", "mail.send")
	if why := c.fails(exitConflict, "bench", "drain", "--tasks", "100"); !strings.Contains(why, "--on-my-own-data") {
		t.Errorf("it does not say how it would work:\n%s", why)
	}
	if results := benched(t, c, "drain", "--tasks", "100", "--on-my-own-data"); results["drain work"].Tasks != 100 {
		t.Errorf("%+v", results)
	}
	if list := c.ok("tasks", "list", "-o", "json"); strings.Count(list, `"kind":`) != 1 || !strings.Contains(list, "mail.send") {
		t.Errorf("tasks after it: %s", list)
	}
	c.fails(exitUsage, "bench", "wishing")
	c.fails(exitUsage, "bench", "drain", "--concurrency", "20000")
	c.fails(exitUsage, "bench", "submit", "--clients", "0")
}

func TestBenchCleansUpAfterASignal(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.EmptyDB(t))
	p := c.start("bench", "idle", "--seconds", "600")
	proc.Await(t, "the worker is registered", func() bool { return strings.Contains(c.run("workers", "list").stdout, "bench") })
	p.Signal(syscall.SIGINT)
	if code := p.Exit(); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	c.fails(exitSchema, "tasks", "list")
}

func TestBenchHelpNamesEveryWorkload(t *testing.T) {
	t.Parallel()
	help := cli{t: t}.ok("bench", "--help")
	for _, workload := range self.Workloads {
		if !strings.Contains(help, "\n  "+workload+" ") {
			t.Errorf("help lacks %s", workload)
		}
	}
}
