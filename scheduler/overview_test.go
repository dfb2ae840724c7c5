package scheduler_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

func counted(t *testing.T, r *rig) map[scheduler.State]scheduler.StateCount {
	t.Helper()
	list, err := r.client.CountStates(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[scheduler.State]scheduler.StateCount{}
	for i, c := range list {
		counts[c.State] = c
		if c.State != scheduler.States[i] {
			t.Errorf("%d is %s", i, c.State)
		}
	}
	return counts
}

// Small tables are counted; of large ones what has no index is estimated.
func TestCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec("alter table scheduler.tasks set (autovacuum_enabled = false)") // there are statistics when the test says so
	r.running(scheduler.NewTask{Kind: "k"})
	r.submitN(3, scheduler.NewTask{Kind: "k"})
	r.submit(scheduler.NewTask{Kind: "k", Delay: time.Hour})
	r.exec("insert into scheduler.tasks (kind, state) select 'k', 'failed' from generate_series(1, 4)")
	r.exec("insert into scheduler.tasks (kind, state) select 'k', 'completed' from generate_series(1, 5)")
	for state, want := range map[scheduler.State]int64{"ready": 3, "running": 1, "scheduled": 1, "failed": 4, "completed": 5, "cancelled": 0, "blocked": 0} {
		if got := counted(t, r)[state]; got.Tasks != want || got.Approximate {
			t.Errorf("%s: %+v, want %d", state, got, want)
		}
	}
	r.exec("insert into scheduler.tasks (kind, state) select 'k', 'completed' from generate_series(1, 30000)")
	r.exec("insert into scheduler.tasks (kind, state) select 'k', 'ready' from generate_series(1, 10050)")
	if got := counted(t, r)["completed"]; !got.Approximate || got.Tasks == 0 {
		t.Errorf("without statistics: %+v", got)
	}
	r.exec("analyze scheduler.tasks")
	counts := counted(t, r)
	if got := counts["completed"]; !got.Approximate || got.Tasks < 29000 || got.Tasks > 31000 {
		t.Errorf("completed: %+v", got)
	}
	if got := counts["ready"]; got.Approximate || got.Tasks != scheduler.CountCap {
		t.Errorf("ready: %+v", got)
	}
}

func TestOldestReadyAndLastTicks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.client.OldestReady(r.ctx, "default"); !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("none: %v", err)
	}
	first := r.submitN(2, scheduler.NewTask{Kind: "k"})[0]
	if got, err := r.client.OldestReady(r.ctx, "default"); err != nil || got != first {
		t.Errorf("%v, %v; want %v", got, err, first)
	}
	_, err := r.client.SetSchedule(r.ctx, scheduler.NewSchedule{Name: "s", Expression: "@hourly", Kind: "k"})
	must(t, err)
	r.exec("insert into scheduler.schedule_ticks (schedule, tick_at, queue, task_id) select 's', now() - n * interval '1 h', 'default', $1 from generate_series(1, 5) n", first)
	ticks, err := r.client.LastTicks(r.ctx, 3)
	must(t, err)
	if len(ticks) != 3 || ticks[0].State == nil || *ticks[0].State != scheduler.Ready || !ticks[0].TickAt.After(ticks[2].TickAt) {
		t.Errorf("%+v", ticks)
	}
}
