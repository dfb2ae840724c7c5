package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Calls that travel together are answered alone: a result that can't be stored, a lease that is lost and a row that somebody has locked
// fail their own call and no other.
func TestOneBadCompletionFailsAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	r.submitN(60, scheduler.NewTask{})
	leased := r.lease(worker, 60)
	tx := r.begin()
	_, err := tx.Exec(r.ctx, `select from scheduler.tasks where id = $1 for update`, leased[0].Task)
	must(t, err)
	stale := leased[1].Lease
	stale.Attempt++
	errs := make([]error, len(leased))
	var all sync.WaitGroup
	for i, task := range leased {
		all.Go(func() {
			lease, result := task.Lease, json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
			switch i {
			case 1:
				lease = stale
			case 2:
				result = json.RawMessage(`{"n":`)
			case 3:
				result = json.RawMessage(`"\u0000"`)
			}
			errs[i] = r.client.Complete(r.ctx, lease, result)
		})
	}
	all.Wait()
	for i, err := range errs {
		ok := false
		switch i {
		case 0:
			ok = scheduler.Unavailable(err)
		case 1:
			ok = errors.Is(err, scheduler.ErrLeaseLost)
		case 2, 3:
			ok = err != nil && !scheduler.Unavailable(err)
		default:
			ok = err == nil && r.state(leased[i].Task) == scheduler.Completed && string(r.task(leased[i].Task).Result) == fmt.Sprintf(`{"n": %d}`, i)
		}
		if !ok {
			t.Errorf("completion %d: %v", i, err)
		}
	}
	must(t, tx.Rollback(r.ctx))
	for i := range 4 {
		if state := r.state(leased[i].Task); state != scheduler.Running {
			t.Errorf("completion %d left the task %s", i, state)
		}
		must(t, r.client.Complete(r.ctx, leased[i].Lease, nil))
	}
}

// A key that somebody holds in an open transaction keeps only its own submit waiting.
func TestALockedKeyHoldsUpNoOtherSubmit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tx := r.begin()
	must(t, second(r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "k", IdempotencyKey: "held"})))
	errs := make([]error, 60)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			task := scheduler.NewTask{Kind: "k", IdempotencyKey: fmt.Sprint(i)}
			if i == 7 {
				task.IdempotencyKey = "held"
			}
			_, errs[i] = r.client.Submit(r.ctx, task)
		})
	}
	all.Wait()
	for i, err := range errs {
		if (i == 7) != (err != nil) || err != nil && !scheduler.Unavailable(err) {
			t.Errorf("submit %d: %v", i, err)
		}
	}
	must(t, tx.Rollback(r.ctx))
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 59 {
		t.Errorf("%d tasks, want 59", n)
	}
}

// Whoever gives up waiting is answered at once; what was asked for happens all the same, or not at all.
func TestACallerThatGivesUpIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tx := r.begin()
	_, err := tx.Exec(r.ctx, `lock table scheduler.tasks`)
	must(t, err)
	ctx, cancel := context.WithCancel(r.ctx)
	answer := make(chan error)
	client := r.patient()
	go func() { answer <- second(client.Submit(ctx, scheduler.NewTask{Kind: "k"})) }() // received below
	await(t, "the submit waits", func() bool { return r.someoneWaits() })
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !r.someoneWaits() {
		t.Error("the statement that serves others too was cancelled")
	}
	must(t, tx.Rollback(r.ctx))
	await(t, "the task is there", func() bool { return read[int](r, `select count(*) from scheduler.tasks`) == 1 })
}

// Many at once, of several workers and queues, from two clients: each is answered for itself.
func TestGroupsOfManyWorkersAndQueues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	clients := []*scheduler.Client{r.client, r.open(scheduler.Config{})}
	var leases []scheduler.Lease
	for w := range 4 {
		queue := scheduler.Queue(fmt.Sprint("q", w%3))
		worker := r.worker(queue)
		r.submitN(250, scheduler.NewTask{Queue: queue})
		for _, task := range r.leaseFrom(worker, queue, 250) {
			leases = append(leases, task.Lease)
		}
	}
	lost := map[int]bool{}
	for i := range leases {
		if i%10 == 0 {
			lost[i] = true
			must(t, second(r.client.Snooze(r.ctx, leases[i], time.Hour, "")))
		}
	}
	var all sync.WaitGroup
	for i, lease := range leases {
		all.Go(func() {
			if err := clients[i%2].Complete(r.ctx, lease, json.RawMessage(fmt.Sprint(i))); errors.Is(err, scheduler.ErrLeaseLost) != lost[i] || !lost[i] && err != nil {
				t.Errorf("completion %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for i, lease := range leases {
		if i%50 == 1 && string(r.task(lease.Task).Result) != fmt.Sprint(i) {
			t.Errorf("completion %d stored %s", i, r.task(lease.Task).Result)
		}
	}
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'completed' and result is not null`); n != len(leases)-len(lost) {
		t.Errorf("%d completed", n)
	}
}

// SubmitMany is all or nothing, also when it takes several statements.
func TestManyThousandsAreSubmittedTogetherOrNotAtAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submit(scheduler.NewTask{IdempotencyKey: "taken", Queue: "z"})
	tasks := make([]scheduler.NewTask, 12000)
	for i := range tasks {
		tasks[i] = scheduler.NewTask{Kind: "k", Queue: scheduler.Queue(fmt.Sprint("q", i%2)), Payload: i}
	}
	list, err := r.client.SubmitMany(r.ctx, tasks)
	must(t, err)
	for _, i := range []int{0, 1, 999, 1000, 1001, 11999} {
		if task := r.task(list[i].ID); string(task.Payload) != fmt.Sprint(i) || task.Queue != tasks[i].Queue {
			t.Errorf("task %d: %s in %s", i, task.Payload, task.Queue)
		}
	}
	tasks[11999] = scheduler.NewTask{Kind: "other", Queue: "z", IdempotencyKey: "taken"}
	var reused *scheduler.KeyReusedError
	if _, err := r.client.SubmitMany(r.ctx, tasks); !errors.As(err, &reused) || reused.At != 11999 {
		t.Errorf("got %v", err)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks`); n != 12001 {
		t.Errorf("%d tasks", n)
	}
}

// Everything else is busy, waiting for the tasks that somebody has locked: a heartbeat gets through, and so do those who come and go.
func TestHeartbeatsNeverWaitForTheOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{MaxConns: 2})
	lease := r.running(scheduler.NewTask{})
	must(t, second(client.Cancel(r.ctx, lease.Task, "")))
	tx := r.begin()
	_, err := tx.Exec(r.ctx, `lock table scheduler.tasks`) // as a migration does
	must(t, err)
	var all sync.WaitGroup
	over, stop := context.WithCancel(r.ctx)
	defer stop()
	for range 10 { // they fail, or not, and try again: they only have to be in the way
		for _, call := range []func(){
			func() { _, _ = client.Submit(over, scheduler.NewTask{Kind: "k"}) },
			func() { _, _ = client.Task(over, lease.Task) },
			func() { _, _ = client.Cancel(over, lease.Task, "") },
			func() { _, _ = client.Fail(over, lease, scheduler.Failure{}) },
		} {
			all.Go(func() {
				for over.Err() == nil {
					call()
				}
			})
		}
	}
	waiting := func() int {
		return read[int](r, `select count(distinct pid) from pg_locks l join pg_stat_activity a using (pid) where not granted and a.datname = current_database()`)
	}
	await(t, "all are in the way", func() bool { return waiting() >= 8 })
	orders, err := client.Heartbeat(r.ctx, lease.Worker, scheduler.Beat{Running: 1})
	if err != nil || !slices.Equal(orders.Cancelled, []scheduler.TaskID{lease.Task}) {
		t.Errorf("heartbeat: %+v, %v", orders, err)
	}
	must(t, client.Register(r.ctx, scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), Name: "n", Queues: []scheduler.Queue{"q"}, Kinds: []string{"k"}, Slots: 1, TTL: time.Minute}))
	await(t, "they are still in the way", func() bool { return waiting() > 0 })
	stop()
	must(t, tx.Rollback(r.ctx))
	all.Wait()
}

// Register is repeated when its answer was lost.
func TestRegisterTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	info := scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), Name: "n\x00", Queues: []scheduler.Queue{"q"}, Kinds: []string{"k"}, Slots: 1, TTL: time.Minute}
	for range 2 {
		must(t, r.client.Register(r.ctx, info))
	}
	if list, err := r.client.Workers(r.ctx); err != nil || len(list) != 1 || list[0].Name != "n\uFFFD" || !list[0].Live {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a, b, locked := r.running(scheduler.NewTask{}), r.running(scheduler.NewTask{Queue: "q"}), r.running(scheduler.NewTask{})
	worker := a.Worker
	r.exec(`update scheduler.tasks set worker_id = $1`, worker) // all of one worker
	b.Worker, locked.Worker = worker, worker
	lost := scheduler.Lease{Task: scheduler.NewTaskID(), Queue: "q", Worker: worker, Attempt: 1}
	tx := r.begin()
	must(t, r.client.ReportTx(r.ctx, tx, scheduler.Report{Lease: locked, Progress: scheduler.Progress{Current: 1}}))
	reports := []scheduler.Report{
		{Lease: locked, Progress: scheduler.Progress{Current: 9}},
		{Lease: b, Progress: scheduler.Progress{Current: 2, Total: 4, Message: "half\x00", Data: json.RawMessage(`{"x":[1]}`)}},
		{Lease: lost},
		{Lease: a, Progress: scheduler.Progress{Current: 7, Data: json.RawMessage(`{`)}},
	}
	gone, busy, err := r.client.Report(r.ctx, reports)
	if err != nil || !slices.Equal(gone, []scheduler.Lease{lost}) || len(busy) != 1 || busy[0].Lease != locked || busy[0].Current != 9 {
		t.Errorf("lost %v, locked %v, %v", gone, busy, err)
	}
	if task := r.task(b.Task); *task.ProgressCurrent != 2 || *task.ProgressTotal != 4 || text(task.ProgressMessage) != "half\uFFFD" || string(task.ProgressData) != `{"x": [1]}` || task.ProgressAt == nil || task.Revision != 3 {
		t.Errorf("%+v", task)
	}
	if task := r.task(a.Task); *task.ProgressCurrent != 7 || task.ProgressTotal != nil || task.ProgressMessage != nil || task.ProgressData != nil {
		t.Errorf("%+v", task)
	}
	must(t, tx.Commit(r.ctx))
	if task := r.task(locked.Task); *task.ProgressCurrent != 1 {
		t.Errorf("%+v", task)
	}
	if gone, busy, err = r.client.Report(r.ctx, busy); err != nil || len(gone)+len(busy) != 0 || *r.task(locked.Task).ProgressCurrent != 9 {
		t.Errorf("tried again: lost %v, locked %v, %v", gone, busy, err)
	}
	if gone, busy, err = r.client.Report(r.ctx, nil); err != nil || len(gone)+len(busy) != 0 {
		t.Errorf("nothing: %v, %v, %v", gone, busy, err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{})
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	if task, err := r.client.Wait(ctx, lease.Task); err != nil || task.State != scheduler.Running {
		t.Errorf("without patience: %s, %v", task.State, err)
	}
	type answer struct {
		task scheduler.Task
		err  error
	}
	got := make(chan answer)
	go func() { // received below
		task, err := r.client.Wait(r.ctx, lease.Task)
		got <- answer{task, err}
	}()
	must(t, r.client.Complete(r.ctx, lease, json.RawMessage(`"done"`)))
	if a := <-got; a.err != nil || a.task.State != scheduler.Completed || string(a.task.Result) != `"done"` {
		t.Errorf("%s, %v", a.task.State, a.err)
	}
}

// Close waits for what is under way, and lets nobody hang.
func TestCloseWhileCallsAreUnderWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{})
	acknowledged := make([]scheduler.TaskID, 200)
	var all sync.WaitGroup
	began := make(chan struct{}, len(acknowledged))
	for i := range acknowledged {
		all.Go(func() {
			began <- struct{}{}
			if s, err := client.Submit(r.ctx, scheduler.NewTask{Kind: "k"}); err == nil {
				acknowledged[i] = s.ID
			} else if !scheduler.Unavailable(err) {
				t.Error(err)
			}
		})
	}
	for range len(acknowledged) / 2 {
		<-began
	}
	client.Close()
	all.Wait()
	for _, id := range acknowledged {
		if !id.IsZero() {
			r.task(id)
		}
	}
}

// The doctor's figures, each made wrong on purpose.
func TestDoctor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if h, err := r.client.Doctor(r.ctx); err != nil || h.LiveWorkers+h.DeadWorkers+h.StuckLeases != 0 || h.PromotionLateMS != 0 || h.Standby || h.ServerVersionNum < 140000 || h.Database == "" ||
		time.Since(h.Clock).Abs() > time.Minute {
		t.Errorf("healthy: %+v, %v", h, err)
	}
	stuck, gone := r.running(scheduler.NewTask{}), r.running(scheduler.NewTask{})
	r.running(scheduler.NewTask{})
	r.kill(stuck.Worker)
	r.exec(`delete from scheduler.workers where id = $1`, gone.Worker)
	id := r.submit(scheduler.NewTask{Delay: time.Hour})
	r.exec(`update scheduler.tasks set run_at = now() - interval '1 min' where id = $1`, id)
	tx, err := r.db.BeginTx(r.ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	must(t, err)
	defer func() { _ = tx.Rollback(r.ctx) }() // it only read
	_, err = tx.Exec(r.ctx, `select 1 from scheduler.tasks`)
	must(t, err)
	h, err := r.client.Doctor(r.ctx)
	if err != nil || h.LiveWorkers != 1 || h.DeadWorkers != 1 || h.StuckLeases != 2 || h.PromotionLateMS < 60000 || h.OldestSnapshotS <= 0 {
		t.Errorf("%+v, %v", h, err)
	}
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	if took, err := r.client.NotifyRoundTrip(ctx); err != nil || took <= 0 {
		t.Errorf("round trip of a notification: %s, %v", took, err)
	}
}
