package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

func (r *rig) rescue() {
	r.t.Helper()
	must(r.t, r.client.RescueOnce(r.ctx))
}

// ageLeases makes lease rows old enough to be taken for those of a worker that is gone.
func (r *rig) ageLeases() {
	r.t.Helper()
	r.exec(`update scheduler.leases set leased_at = leased_at - interval '1 min'`)
}

// A task that loses its worker three times kills workers, and is failed; each loss is history.
func TestThreeLostWorkersFailTheTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{MaxAttempts: 1})
	for crash := 1; crash <= 3; crash++ {
		worker := r.worker()
		if got := r.lease(worker, 1); len(got) != 1 || got[0].Attempt != crash {
			t.Fatalf("crash %d: leased %+v", crash, got)
		}
		r.kill(worker)
		r.rescue()
		task := r.task(id)
		want := scheduler.Ready
		if crash == 3 {
			want = scheduler.Failed
		}
		if task.State != want || task.Crashes != crash || task.Failures != 0 || text(task.ErrorCode) != "worker_lost" || (task.WorkerID == nil) != (want == scheduler.Ready) ||
			text(task.Error) != fmt.Sprintf("worker w-%s was lost while it ran attempt %d", worker.String()[:4], crash) {
			t.Errorf("crash %d: %+v", crash, task)
		}
		last := r.attempts(id)[crash-1]
		if last.Attempt != crash || last.Outcome != "crashed" || last.WorkerID != worker || text(last.ErrorCode) != "worker_lost" || text(last.Worker) != "w-"+worker.String()[:4] {
			t.Errorf("crash %d: attempt %+v", crash, last)
		}
	}
	must(t, second(r.client.Retry(r.ctx, id)))
	if task := r.task(id); task.Crashes != 0 || len(r.attempts(id)) != 3 {
		t.Errorf("retried: %d crashes, %d attempts", task.Crashes, len(r.attempts(id)))
	}
}

func TestMaxCrashesIsConfigured(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{MaxCrashes: 1})
	lease := r.running(scheduler.NewTask{})
	r.kill(lease.Worker)
	must(t, client.RescueOnce(r.ctx))
	if task := r.task(lease.Task); task.State != scheduler.Failed {
		t.Errorf("%s after 1 of 1 crashes", task.State)
	}
}

// Nothing of a live worker is touched, also not what another, dead worker once held.
func TestRescueLeavesTheLivingAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	alive, dead := r.worker(), r.worker()
	r.submitN(10, scheduler.NewTask{})
	mine := r.lease(alive, 3)
	theirs := r.lease(dead, 4)
	moved := r.lease(dead, 1)[0].Lease // the dead worker's lease row still names it
	must(t, r.client.Release(r.ctx, []scheduler.Lease{moved}))
	r.exec(`update scheduler.tasks set priority = -1 where id = $1`, moved.Task)
	mine = append(mine, r.lease(alive, 1)...)
	before := map[scheduler.TaskID]state{}
	for _, task := range mine {
		before[task.Task] = r.row(task.Task)
	}
	if mine[3].Task != moved.Task {
		t.Fatalf("leased %s, want the task that moved", mine[3].Task)
	}
	r.kill(dead)
	r.rescue()
	for _, task := range mine {
		if after := r.row(task.Task); fmt.Sprint(after) != fmt.Sprint(before[task.Task]) {
			t.Errorf("task of a live worker changed: %v", after)
		}
	}
	for _, task := range theirs {
		if state := r.state(task.Task); state != scheduler.Ready {
			t.Errorf("task of the dead worker is %s", state)
		}
	}
	if workers, err := r.client.Workers(r.ctx); err != nil || len(workers) != 1 || workers[0].ID != alive || !workers[0].Live {
		t.Errorf("workers %+v, %v", workers, err)
	}
	if n := read[int](r, `select count(*) from scheduler.leases where worker_id <> $1`, alive); n != 0 {
		t.Errorf("%d lease rows of the dead are left", n)
	}
	checkLeaseRows(r)
}

// Whoever asked to cancel gets that, also when the worker dies over it.
func TestRescueCancelsWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{})
	must(t, second(r.client.Cancel(r.ctx, lease.Task, "enough")))
	r.kill(lease.Worker)
	r.rescue()
	if task := r.task(lease.Task); task.State != scheduler.Cancelled || text(task.ErrorCode) != "cancelled" || text(task.Error) != "enough" || task.Crashes != 1 || task.FinishedAt == nil {
		t.Errorf("%+v", task)
	}
}

// Requests to workers that are gone do not pile up, whenever they came.
func TestRequestsToTheDeadAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ended, lost := r.running(scheduler.NewTask{}), r.running(scheduler.NewTask{})
	for _, lease := range []scheduler.Lease{ended, lost} {
		must(t, second(r.client.Cancel(r.ctx, lease.Task, "")))
	}
	must(t, r.client.Complete(r.ctx, ended, nil))
	r.exec(`delete from scheduler.leases where worker_id = $1`, ended.Worker) // as its heartbeat does
	r.exec(`delete from scheduler.workers where id = $1`, lost.Worker)
	r.kill(ended.Worker)
	r.ageLeases()
	r.rescue() // gives the task back
	r.rescue() // and finds that nothing runs that the request is for
	if n := read[int](r, `select count(*) from scheduler.cancellations`); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

// Eight sweepers, a thousand tasks of twenty dead workers, a third of them without a row: each task is given back exactly once.
func TestEightSweepersRescueEachTaskOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submitN(1000, scheduler.NewTask{})
	for i := range 20 {
		worker := r.worker()
		for n := range 5 { // several lease rows each
			r.lease(worker, 6+2*n)
		}
		if i%3 == 0 {
			r.exec(`delete from scheduler.workers where id = $1`, worker)
		} else {
			r.kill(worker)
		}
	}
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'running'`); n != 1000 {
		t.Fatalf("%d are running", n)
	}
	r.ageLeases()
	var all sync.WaitGroup
	for range 8 {
		client := r.open(scheduler.Patient(scheduler.Config{MaxConns: 1}))
		all.Go(func() {
			for range 10 {
				if err := client.RescueOnce(r.ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'ready' and crashes = 1 and attempt = 1 and revision = 3`); n != 1000 {
		t.Errorf("%d of 1000 tasks were given back once", n)
	}
	if n := read[int](r, `select count(*) from scheduler.attempts where outcome = 'crashed'`); n != 1000 {
		t.Errorf("%d attempts crashed", n)
	}
	if n := strings.Count(r.logs.String(), "msg=rescue"); n != 1000 {
		t.Errorf("%d rescues were logged", n)
	}
	if n := read[int](r, `select (select count(*) from scheduler.leases) + (select count(*) from scheduler.workers)`); n != 0 {
		t.Errorf("%d rows of the dead are left", n)
	}
}

// A lease that commits after its worker was declared dead leaves a row without a worker; a lease under way is not taken for one.
func TestLeaseRowsWithoutAWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{})
	r.exec(`delete from scheduler.workers where id = $1`, lease.Worker)
	r.rescue()
	if state := r.state(lease.Task); state != scheduler.Running {
		t.Errorf("%s at once: a worker's row may be on its way", state)
	}
	r.ageLeases()
	r.rescue()
	task := r.task(lease.Task)
	if task.State != scheduler.Ready || task.Crashes != 1 || text(task.Error) != fmt.Sprintf("worker %s was lost while it ran attempt 1", lease.Worker) {
		t.Errorf("%+v", task)
	}
}

// Somebody has one task's row locked: a worker that froze within its own transaction. All other tasks are given back, and this one as
// soon as it is free.
func TestALockedTaskHoldsUpNoRescue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	frozen, other := r.worker(), r.worker()
	r.submitN(4, scheduler.NewTask{})
	mine, theirs := r.lease(frozen, 2), r.lease(other, 2)
	tx := r.begin()
	must(t, r.client.ReportTx(r.ctx, tx, scheduler.Report{Lease: mine[0].Lease, Progress: scheduler.Progress{Current: 1}}))
	r.kill(frozen, other)
	r.rescue()
	for _, task := range []scheduler.LeasedTask{mine[1], theirs[0], theirs[1]} {
		if state := r.state(task.Task); state != scheduler.Ready {
			t.Errorf("%s, and nobody has it locked", state)
		}
	}
	checkLeaseRows(r)
	if _, err := r.client.Heartbeat(r.ctx, frozen, scheduler.Beat{Held: []int64{}}); err != scheduler.ErrWorkerLost { //nolint:errorlint // exactly that
		t.Errorf("the frozen worker's heartbeat: %v", err)
	}
	if err := r.client.CompleteTx(r.ctx, tx, mine[0].Lease, nil); err != nil { // it was first, and has the row
		t.Errorf("the frozen worker completes: %v", err)
	}
	must(t, tx.Rollback(r.ctx))
	r.ageLeases()
	r.rescue()
	if task := r.task(mine[0].Task); task.State != scheduler.Ready || task.Crashes != 1 || len(r.attempts(task.ID)) != 1 {
		t.Errorf("when it was free again: %+v", task)
	}
	if n := read[int](r, `select count(*) from scheduler.leases`); n != 0 {
		t.Errorf("%d lease rows are left", n)
	}
}

// A worker that leaves while it is declared dead: neither waits for the other in a circle.
func TestLeavingAndRescueDoNotDeadlock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client, other := r.patient(), r.patient() // a deadlock is an error all the same
	for range 60 {
		var workers []scheduler.WorkerID
		for range 5 {
			lease := r.running(scheduler.NewTask{})
			must(t, second(r.client.Cancel(r.ctx, lease.Task, "")))
			workers = append(workers, lease.Worker)
		}
		r.kill(workers...)
		var all sync.WaitGroup
		start := make(chan struct{})
		for _, worker := range workers {
			all.Go(func() {
				<-start
				if err := client.Deregister(r.ctx, worker); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			<-start
			if err := other.RescueOnce(r.ctx); err != nil {
				t.Error(err)
			}
		})
		close(start)
		all.Wait()
		r.ageLeases()
		r.rescue()
		if n := read[int](r, `select count(*) from scheduler.tasks where state <> 'cancelled'`); n != 0 {
			t.Fatalf("%d tasks are left over", n)
		}
	}
}

// Workers die and their rows are deleted at random while tasks are leased, completed and rescued: all end, and what runs is covered.
func TestRandomDeaths(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.submitN(600, scheduler.NewTask{MaxAttempts: 1})
	client, sweeper := r.patient(), r.open(scheduler.Patient(scheduler.Config{MaxCrashes: 1000})) // nobody gives up
	deadline := time.Now().Add(2 * patience)
	var all sync.WaitGroup
	left := func() int { return read[int](r, `select count(*) from scheduler.tasks where state <> 'completed'`) }
	for range 4 {
		all.Go(func() {
			for left() > 0 && time.Now().Before(deadline) {
				worker := r.worker()
				for range 4 {
					for _, task := range r.lease(worker, 5) {
						if rand.IntN(3) > 0 {
							if err := client.Complete(r.ctx, task.Lease, nil); err != nil && err != scheduler.ErrLeaseLost { //nolint:errorlint // exactly that
								t.Error(err)
							}
						}
					}
				}
				if rand.IntN(2) == 0 {
					r.exec(`delete from scheduler.workers where id = $1`, worker)
				} else {
					r.kill(worker)
				}
			}
		})
	}
	all.Go(func() {
		for left() > 0 && time.Now().Before(deadline) {
			r.exec(`update scheduler.leases l set leased_at = leased_at - interval '1 min' where not exists (select from scheduler.workers w where w.id = l.worker_id)`)
			if err := sweeper.RescueOnce(r.ctx); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if n := left(); n != 0 {
		t.Errorf("%d of %d tasks did not complete", n, len(ids))
	}
	if n := read[int](r, `select count(*) from (select t.id from scheduler.tasks t left join scheduler.attempts a on a.task_id = t.id
		group by t.id having t.attempt <> count(a) + 1 or t.crashes <> count(a)) s`); n != 0 {
		t.Errorf("%d tasks whose attempts do not add up", n)
	}
}

// What a worker leased without hearing of it is handed back, and only that.
func TestReclaim(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker, other := r.worker(), r.worker()
	r.submitN(6, scheduler.NewTask{})
	known, lost, theirs := r.lease(worker, 2), r.lease(worker, 2), r.lease(other, 2)
	held := []int64{known[0].Group}
	if n, err := r.client.Reclaim(r.ctx, worker, held, time.Minute); err != nil || n != 0 {
		t.Errorf("young ones: %d, %v", n, err)
	}
	if orders, err := r.client.Heartbeat(r.ctx, worker, scheduler.Beat{Held: held}); err != nil || orders.Strays {
		t.Errorf("young strays: %+v, %v", orders, err)
	}
	r.exec(`update scheduler.leases set leased_at = leased_at - interval '1 min'`)
	r.exec(`update scheduler.tasks set started_at = started_at - interval '1 min'`)
	if orders, err := r.client.Heartbeat(r.ctx, worker, scheduler.Beat{Held: held}); err != nil || !orders.Strays {
		t.Errorf("old strays: %+v, %v", orders, err)
	}
	must(t, second(r.client.Cancel(r.ctx, lost[1].Task, "")))
	if n, err := r.client.Reclaim(r.ctx, worker, held, time.Minute); err != nil || n != 2 {
		t.Errorf("reclaimed %d, %v, want 2", n, err)
	}
	want := []scheduler.State{scheduler.Running, scheduler.Running, scheduler.Ready, scheduler.Cancelled, scheduler.Running, scheduler.Running}
	var got []scheduler.State
	for _, task := range slices.Concat(known, lost, theirs) {
		got = append(got, r.state(task.Task))
	}
	if !slices.Equal(want, got) {
		t.Errorf("states %v, want %v", got, want)
	}
	if a := r.attempts(lost[0].Task); len(a) != 1 || a[0].Outcome != "released" || r.task(lost[0].Task).Failures != 0 {
		t.Errorf("attempts %+v", a)
	}
	checkLeaseRows(r)
}

// A worker that leaves takes its rows along, but for those of tasks that still run: by these others find them.
func TestDeregister(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	r.submitN(4, scheduler.NewTask{})
	done, runs := r.lease(worker, 2), r.lease(worker, 2)
	for _, task := range done {
		must(t, r.client.Complete(r.ctx, task.Lease, nil))
	}
	must(t, second(r.client.Cancel(r.ctx, runs[0].Task, "")))
	must(t, r.client.Deregister(r.ctx, worker))
	if n := read[int](r, `select (select count(*) from scheduler.workers) + (select count(*) from scheduler.cancellations)`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	checkLeaseRows(r)
	if n := read[int](r, `select count(*) from scheduler.leases`); n != 1 {
		t.Errorf("%d lease rows, want that of the tasks that run", n)
	}
	r.ageLeases()
	r.rescue()
	if a, b := r.state(runs[0].Task), r.state(runs[1].Task); a != scheduler.Cancelled || b != scheduler.Ready {
		t.Errorf("%s and %s", a, b)
	}
	must(t, r.client.Deregister(r.ctx, worker)) // again
}

// Dead workers that held nothing stand in nobody's way, however many there are.
func TestIdleDeadWorkersDelayNoRescue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var idle []scheduler.WorkerID
	for range 50 {
		idle = append(idle, r.worker())
	}
	lease := r.running(scheduler.NewTask{})
	r.kill(append(idle, lease.Worker)...)
	r.rescue()
	if state := r.state(lease.Task); state != scheduler.Ready {
		t.Errorf("%s", state)
	}
}
