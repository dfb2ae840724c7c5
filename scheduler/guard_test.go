package scheduler_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// verbs are all writes by a worker. Release and Log tell nobody of a lost lease: they pass such tasks over.
var verbs = []struct {
	name   string
	silent bool
	write  func(r *rig, lease scheduler.Lease) error
}{
	{"complete", false, func(r *rig, lease scheduler.Lease) error {
		return r.client.Complete(r.ctx, lease, json.RawMessage(`{"stale":true}`))
	}},
	{"completeTx", false, func(r *rig, lease scheduler.Lease) error {
		return r.tx(func(tx pgx.Tx) error { return r.client.CompleteTx(r.ctx, tx, lease, nil) })
	}},
	{"fail", false, func(r *rig, lease scheduler.Lease) error {
		return second(r.client.Fail(r.ctx, lease, scheduler.Failure{Message: "stale", Permanent: true}))
	}},
	{"snooze", false, func(r *rig, lease scheduler.Lease) error {
		return second(r.client.Snooze(r.ctx, lease, time.Hour, "stale"))
	}},
	{"release", true, func(r *rig, lease scheduler.Lease) error { return r.client.Release(r.ctx, []scheduler.Lease{lease}) }},
	{"report", false, func(r *rig, lease scheduler.Lease) error {
		lost, locked, err := r.client.Report(r.ctx, []scheduler.Report{{Lease: lease, Progress: scheduler.Progress{Current: 99}}})
		if err == nil && len(lost) == 1 && lost[0] == lease && len(locked) == 0 {
			return scheduler.ErrLeaseLost
		}
		return err
	}},
	{"reportTx", false, func(r *rig, lease scheduler.Lease) error {
		return r.tx(func(tx pgx.Tx) error {
			return r.client.ReportTx(r.ctx, tx, scheduler.Report{Lease: lease, Progress: scheduler.Progress{Current: 99}})
		})
	}},
	{"log", true, func(r *rig, lease scheduler.Lease) error {
		return r.client.Log(r.ctx, []scheduler.Line{{Lease: lease, At: time.Now(), Stream: "log", Message: "stale"}})
	}},
}

// checkStale tries every verb with a lease that is not the task's present one: refused, and nothing is written.
func checkStale(t *testing.T, r *rig, what string, lease scheduler.Lease, id scheduler.TaskID) {
	t.Helper()
	side := func() []int {
		return column[int](r, `select count(*) from scheduler.attempts union all select count(*) from scheduler.task_logs union all select count(*) from scheduler.tasks`)
	}
	before, beside := r.row(id), side()
	for _, verb := range verbs {
		err := verb.write(r, lease)
		if verb.silent && err != nil || !verb.silent && !errors.Is(err, scheduler.ErrLeaseLost) {
			t.Errorf("%s, %s: %v", what, verb.name, err)
		}
		if diff := cmp.Diff(before, r.row(id)); diff != "" {
			t.Errorf("%s, %s changed the task:\n%s", what, verb.name, diff)
		}
		if after := side(); !slices.Equal(beside, after) {
			t.Errorf("%s, %s: attempts, lines, tasks were %v and are %v", what, verb.name, beside, after)
		}
	}
}

// I6: whatever a worker writes without holding the lease is refused.
func TestStaleWritesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{Queue: "q"})
	for what, change := range map[string]func(*scheduler.Lease){
		"wrong worker":    func(l *scheduler.Lease) { l.Worker = r.worker() },
		"no worker":       func(l *scheduler.Lease) { l.Worker = scheduler.WorkerID{} },
		"earlier attempt": func(l *scheduler.Lease) { l.Attempt-- },
		"later attempt":   func(l *scheduler.Lease) { l.Attempt++ },
		"wrong queue":     func(l *scheduler.Lease) { l.Queue = "other" },
		"unknown task":    func(l *scheduler.Lease) { l.Task = scheduler.NewTaskID() },
	} {
		stale := lease
		change(&stale)
		checkStale(t, r, what, stale, lease.Task)
	}
	must(t, r.client.Complete(r.ctx, lease, nil)) // the one that holds it can
}

// The very lease that was good is of no use once the attempt has ended, however that was.
func TestALeaseIsUsedUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for what, end := range map[string]func(l scheduler.Lease) error{
		"completed": func(l scheduler.Lease) error { return r.client.Complete(r.ctx, l, nil) },
		"failed": func(l scheduler.Lease) error {
			return second(r.client.Fail(r.ctx, l, scheduler.Failure{Permanent: true}))
		},
		"retrying": func(l scheduler.Lease) error { return second(r.client.Fail(r.ctx, l, scheduler.Failure{})) },
		"snoozed":  func(l scheduler.Lease) error { return second(r.client.Snooze(r.ctx, l, time.Hour, "")) },
		"released": func(l scheduler.Lease) error { return r.client.Release(r.ctx, []scheduler.Lease{l}) },
		"cancelled": func(l scheduler.Lease) error {
			return errors.Join(second(r.client.Cancel(r.ctx, l.Task, "")), second(r.client.Fail(r.ctx, l, scheduler.Failure{})))
		},
		"leased again": func(l scheduler.Lease) error {
			must(t, r.client.Release(r.ctx, []scheduler.Lease{l}))
			if again := r.leaseFrom(l.Worker, l.Queue, 1); len(again) != 1 || again[0].Attempt != 2 {
				t.Errorf("leased again: %+v", again)
			}
			return nil
		},
	} {
		lease := r.running(scheduler.NewTask{Queue: scheduler.Queue(what[:4])})
		must(t, end(lease))
		checkStale(t, r, what, lease, lease.Task)
	}
}

// A worker that was thought dead wakes up while another runs the task: it changes nothing, and the other does not notice.
func TestAZombieChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	zombie := r.running(scheduler.NewTask{})
	r.kill(zombie.Worker)
	must(t, r.client.RescueOnce(r.ctx))
	checkStale(t, r, "rescued", zombie, zombie.Task)
	successor := r.lease(r.worker(), 1)
	if len(successor) != 1 || successor[0].Task != zombie.Task || successor[0].Attempt != 2 {
		t.Fatalf("leased again: %+v", successor)
	}
	if task := r.task(zombie.Task); task.Crashes != 1 {
		t.Errorf("%d crashes", task.Crashes)
	}
	checkStale(t, r, "with its successor running", zombie, zombie.Task)
	if _, err := r.client.Heartbeat(r.ctx, zombie.Worker, scheduler.Beat{Held: []int64{}}); !errors.Is(err, scheduler.ErrWorkerLost) {
		t.Errorf("the zombie's heartbeat: %v", err)
	}
	must(t, r.client.Complete(r.ctx, successor[0].Lease, json.RawMessage(`"mine"`)))
	checkStale(t, r, "with its successor done", zombie, zombie.Task)
	if task := r.task(zombie.Task); task.State != scheduler.Completed || string(task.Result) != `"mine"` {
		t.Errorf("%s with result %s", task.State, task.Result)
	}
}

// What one transaction writes and its completion stand or fall together (I3).
func TestCompleteTxCommitsWithTheEffectOrNotAtAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`create table effects (task uuid)`)
	work := func(lease scheduler.Lease, fail error) error {
		return r.tx(func(tx pgx.Tx) error {
			if _, err := tx.Exec(r.ctx, `insert into effects values ($1)`, lease.Task); err != nil {
				return err
			}
			if err := r.client.ReportTx(r.ctx, tx, scheduler.Report{Lease: lease, Progress: scheduler.Progress{Current: 1, Total: 1}}); err != nil {
				return err
			}
			if err := r.client.CompleteTx(r.ctx, tx, lease, json.RawMessage(`1`)); err != nil {
				return err
			}
			return fail
		})
	}
	lease := r.running(scheduler.NewTask{})
	undo := errors.New("undo")
	if err := work(lease, undo); !errors.Is(err, undo) {
		t.Errorf("got %v", err)
	}
	if task := r.task(lease.Task); task.State != scheduler.Running || task.ProgressCurrent != nil || read[int](r, `select count(*) from effects`) != 0 {
		t.Errorf("rolled back, and the task is %s", task.State)
	}
	must(t, work(lease, nil))
	if err := work(lease, nil); !errors.Is(err, scheduler.ErrLeaseLost) {
		t.Errorf("a second time: %v", err)
	}
	if task := r.task(lease.Task); task.State != scheduler.Completed || *task.ProgressCurrent != 1 || read[int](r, `select count(*) from effects`) != 1 {
		t.Errorf("committed, and the task is %s", task.State)
	}
}

// Settled tells a lost answer from a lost lease.
func TestSettled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	check := func(what string, lease scheduler.Lease, want bool) {
		t.Helper()
		if got, err := r.client.Settled(r.ctx, lease); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", what, got, err, want)
		}
	}
	lease := r.running(scheduler.NewTask{})
	check("running", lease, false)
	must(t, second(r.client.Snooze(r.ctx, lease, 0, "")))
	check("snoozed", lease, true)
	next := r.lease(lease.Worker, 1)[0].Lease
	check("snoozed, running again", lease, true)
	check("the next attempt", next, false)
	must(t, r.client.Complete(r.ctx, next, nil))
	check("completed", next, true)
	other := next
	other.Worker = r.worker()
	check("completed by another worker", other, false)
	lost := r.running(scheduler.NewTask{})
	r.kill(lost.Worker)
	must(t, r.client.RescueOnce(r.ctx))
	check("crashed", lost, false)
}
