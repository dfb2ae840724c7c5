package self_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/internal/load/self"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

// rig is a stage on a database of the test's own.
type rig struct {
	t     *testing.T
	url   string
	db    *pgx.Conn
	stage *self.Stage
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	r := &rig{t: t, url: url}
	var err error
	if r.db, err = pgx.Connect(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close(context.Background()) })
	return r
}

// enter enters the stage, which is left at the end of the test at the latest.
func (r *rig) enter(config self.Config) {
	r.t.Helper()
	config.DatabaseURL, config.Logger = r.url, slog.New(slog.DiscardHandler)
	var err error
	if r.stage, err = self.Enter(r.t.Context(), config); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { r.leave(context.Background()) })
}

func (r *rig) leave(ctx context.Context) {
	r.t.Helper()
	if err := r.stage.Leave(ctx); err != nil {
		r.t.Error(err)
	}
}

// run carries a workload out and returns its results by case.
func (r *rig) run(workload string, o load.Options) map[string]load.Result {
	r.t.Helper()
	results := map[string]load.Result{}
	err := r.stage.Run(r.t.Context(), workload, o, func(result load.Result) error {
		if result.Workload != workload {
			r.t.Errorf("a result of workload %q", result.Workload)
		}
		results[result.Case] = result
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return results
}

// states counts the tasks by state.
func (r *rig) states() map[string]int {
	r.t.Helper()
	return counts(r.t, r.db, "select state::text, count(*) from scheduler.tasks group by 1")
}

// quiet checks that nobody works any more.
func (r *rig) quiet() {
	r.t.Helper()
	if left := counts(r.t, r.db, "select 'workers', count(*) from scheduler.workers having count(*) > 0"); len(left) > 0 {
		r.t.Errorf("left: %v", left)
	}
}

func counts(t *testing.T, db *pgx.Conn, statement string) map[string]int {
	t.Helper()
	rows, err := db.Query(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	var name string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { found[name] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return found
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func cases(results map[string]load.Result) (names []string) {
	for name := range results {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	results := r.run("submit", load.Options{Tasks: 100, Clients: []int{1, 8}, Window: time.Minute})
	equal(t, "cases", cases(results), []string{"clients=1", "clients=8"})
	for name, result := range results {
		if result.Tasks != 100 || result.P50 == nil || *result.P99 < *result.P50 {
			t.Errorf("%s: %+v", name, result)
		}
	}
	equal(t, "states", r.states(), map[string]int{"ready": 202}) // with one of each case that is not measured
}

func TestSubmitThroughAServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	served := 0
	r.enter(self.Config{HTTP: func(_ context.Context, client *scheduler.Client) (self.SubmitFunc, func(), error) {
		served++
		return func(ctx context.Context, task scheduler.NewTask) error {
			_, err := client.Submit(ctx, task)
			return err
		}, func() { served-- }, nil
	}})
	results := r.run("submit-http", load.Options{Tasks: 50, Clients: []int{4}, Window: time.Minute})
	equal(t, "cases", cases(results), []string{"clients=4"})
	equal(t, "states", r.states(), map[string]int{"ready": 51})
	equal(t, "servers left", served, 0)
}

func TestDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	results := r.run("drain", load.Options{Tasks: 1200, Slots: 50})
	equal(t, "cases", cases(results), []string{"insert", "work"})
	for name, result := range results {
		if result.Tasks != 1200 || result.PerSecond == nil || result.WAL == nil || *result.WAL <= 0 || len(result.Notes) > 0 {
			t.Errorf("%s: %+v", name, result)
		}
	}
	if hot := results["work"].HOT; hot == nil || *hot < 0 || *hot > 55 { // leases never are, completions may be; heartbeats are few
		t.Errorf("HOT updates: %v", hot)
	}
	equal(t, "states", r.states(), map[string]int{"completed": 1200})
	r.quiet()
}

func TestE2E(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	results := r.run("e2e", load.Options{Tasks: 1500, Window: time.Minute, Slots: 50})
	equal(t, "cases", cases(results), []string{"analyzed", "cold"})
	for name, result := range results {
		if result.Tasks != 1500 || len(result.Notes) > 0 {
			t.Errorf("%s: %+v", name, result)
		}
	}
	equal(t, "states", r.states(), map[string]int{"completed": 3000})
	r.quiet()
}

func TestLatency(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	result := r.run("latency", load.Options{Window: time.Second})[""]
	if result.Tasks != 100 || result.P50 == nil || *result.P50 <= 0 {
		t.Errorf("%+v", result)
	}
	equal(t, "states", r.states(), map[string]int{"completed": 101})
	r.quiet()
}

func TestIdle(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	result := r.run("idle", load.Options{Window: time.Second})[""]
	if result.TransactionsPerSecond == nil || result.ClientPercent == nil {
		t.Errorf("%+v", result)
	}
	r.quiet()
}

func TestBloat(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	results := r.run("bloat", load.Options{Tasks: 400, Window: time.Second, Slots: 20})
	equal(t, "cases", cases(results), []string{"after", "before", "work"})
	equal(t, "slices", len(results["work"].Slices), 10)
	equal(t, "states", r.states(), map[string]int{"completed": 400 + 2*101})
	r.quiet()
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	results := r.run("payload", load.Options{Tasks: 50})
	equal(t, "cases", cases(results), []string{"insert 100B", "insert 10kB", "insert 200kB", "work 100B", "work 10kB", "work 200kB"})
	equal(t, "states", r.states(), map[string]int{"completed": 150})
	sizes := counts(t, r.db, "select octet_length(payload::text)::text, count(*) from scheduler.tasks group by 1")
	equal(t, "payloads", len(sizes), 3)
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	results := r.run("backlog", load.Options{Tasks: 6000})
	equal(t, "cases", cases(results), []string{"foreign", "full", "none"})
	for name, result := range results {
		if result.Buffers == nil || *result.Buffers <= 0 || result.WalkMS == nil || *result.WalkBuffers <= 0 || result.P50 == nil {
			t.Errorf("%s: %+v", name, result)
		}
		if result.Tasks != 2100 {
			t.Errorf("%s leased %d tasks, want 2100", name, result.Tasks)
		}
	}
	equal(t, "states", r.states(), map[string]int{"completed": 12000, "scheduled": 6000, "ready": 6000 + 1200 - 5200, "running": 5200})
}

func TestScale(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{Child: child})
	results := r.run("scale", load.Options{Tasks: 200, Slots: 10})
	equal(t, "cases", cases(results), []string{"processes=1", "processes=2", "processes=4", "processes=8"})
	for name, result := range results {
		if result.Tasks != 200 || result.ClientCPU == nil || *result.ClientCPU <= 0 {
			t.Errorf("%s: %+v", name, result)
		}
	}
	equal(t, "states", r.states(), map[string]int{"completed": 200})
	r.quiet()
}

func TestMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{Child: child})
	results := r.run("memory", load.Options{Tasks: 200, Slots: 100})
	equal(t, "cases", cases(results), []string{"busy", "worked"})
	equal(t, "states", r.states(), map[string]int{"completed": 300})
	r.quiet()
}

func TestMemoryWithoutAWayToStartProcesses(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	err := r.stage.Run(t.Context(), "memory", load.Options{Tasks: 1, Slots: 1}, func(load.Result) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "no way to start") {
		t.Errorf("got %v", err)
	}
}

func TestLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	result := r.run("long", load.Options{Tasks: 200, Window: time.Second})[""]
	if result.Tasks != 200 || result.TransactionsPerSecond == nil {
		t.Errorf("%+v", result)
	}
	equal(t, "states", r.states(), map[string]int{"completed": 200})
	r.quiet()
}

func TestUnknownWorkload(t *testing.T) {
	t.Parallel()
	r := newRig(t, pgtest.EmptyDB(t))
	r.enter(self.Config{})
	if err := r.stage.Run(t.Context(), "wishing", load.Options{}, nil); err == nil {
		t.Error("it ran")
	}
}
