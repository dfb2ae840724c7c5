package scheduler_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// From every state: what cancel answers, and what it leaves.
func TestCancelInEveryState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, from := range scheduler.States {
		id := read[scheduler.TaskID](r, `insert into scheduler.tasks (kind, state, worker_id, attempt) values ('k', $1::text::scheduler.task_state, gen_random_uuid(), 1) returning id`, from)
		out, err := r.client.Cancel(r.ctx, id, "no longer wanted")
		task := r.task(id)
		if from.Done() {
			var refused *scheduler.StateError
			if !errors.As(err, &refused) || *refused != (scheduler.StateError{Task: id, State: from, Verb: "cancel"}) || task.State != from || task.Revision != 1 {
				t.Errorf("%s: %v, left %s", from, err, task.State)
			}
			continue
		}
		want := scheduler.Outcome{State: scheduler.Cancelled}
		if from == scheduler.Running {
			want = scheduler.Outcome{State: scheduler.Running, Requested: true}
		}
		if err != nil || out != want || task.State != want.State || task.CancelRequestedAt == nil || (task.FinishedAt == nil) != want.Requested ||
			text(task.ErrorCode) != "cancelled" || text(task.Error) != "no longer wanted" {
			t.Errorf("%s: answered %+v, %v, left %+v", from, out, err, task)
		}
	}
	if _, err := r.client.Cancel(r.ctx, scheduler.NewTaskID(), ""); !errors.Is(err, scheduler.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	id := r.submit(scheduler.NewTask{})
	must(t, second(r.client.Cancel(r.ctx, id, "")))
	if task := r.task(id); text(task.Error) != "cancelled on request" {
		t.Errorf("without a reason: %q", text(task.Error))
	}
}

// The request reaches the worker with its heartbeat, and however the handler ends but by success, the task is cancelled.
func TestCancelOfARunningTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for what, end := range map[string]func(l scheduler.Lease) (scheduler.State, error){
		"fail": func(l scheduler.Lease) (scheduler.State, error) {
			return r.client.Fail(r.ctx, l, scheduler.Failure{Code: "cancelled", Message: "stopped"})
		},
		"permanent": func(l scheduler.Lease) (scheduler.State, error) {
			return r.client.Fail(r.ctx, l, scheduler.Failure{Permanent: true})
		},
		"snooze": func(l scheduler.Lease) (scheduler.State, error) { return r.client.Snooze(r.ctx, l, time.Hour, "") },
		"release": func(l scheduler.Lease) (scheduler.State, error) {
			return scheduler.Cancelled, r.client.Release(r.ctx, []scheduler.Lease{l})
		},
		"complete": func(l scheduler.Lease) (scheduler.State, error) {
			return scheduler.Completed, r.client.Complete(r.ctx, l, nil)
		},
	} {
		lease := r.running(scheduler.NewTask{Queue: scheduler.Queue(what)})
		must(t, second(r.client.Cancel(r.ctx, lease.Task, "enough")))
		orders, err := r.client.Heartbeat(r.ctx, lease.Worker, scheduler.Beat{})
		if err != nil || !slices.Equal(orders.Cancelled, []scheduler.TaskID{lease.Task}) {
			t.Errorf("%s: heartbeat brought %+v, %v", what, orders, err)
		}
		state, err := end(lease)
		task := r.task(lease.Task)
		if err != nil || task.State != state || task.FinishedAt == nil || *task.WorkerID != lease.Worker {
			t.Errorf("%s: answered %s, %v, left %+v", what, state, err, task)
		}
		if what == "complete" {
			if task.State != scheduler.Completed || task.Error != nil || task.ErrorCode != nil {
				t.Errorf("%s: %+v", what, task)
			}
			continue
		}
		attempts := r.attempts(lease.Task)
		if task.State != scheduler.Cancelled || text(task.Error) != "enough" || text(task.ErrorCode) != "cancelled" || len(attempts) != 1 || attempts[0].Outcome != "cancelled" {
			t.Errorf("%s: %+v, attempts %+v", what, task, attempts)
		}
	}
}

// A request is for one attempt. A task that was cancelled, retried and leased again by the same worker is not cancelled again, though
// the worker has not said yet that it dealt with the request.
func TestARequestDoesNotReachTheNextAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{})
	must(t, second(r.client.Cancel(r.ctx, lease.Task, "")))
	must(t, second(r.client.Heartbeat(r.ctx, lease.Worker, scheduler.Beat{})))
	must(t, second(r.client.Fail(r.ctx, lease, scheduler.Failure{})))
	must(t, second(r.client.Retry(r.ctx, lease.Task)))
	if again := r.lease(lease.Worker, 1); len(again) != 1 || again[0].Attempt != 2 {
		t.Fatalf("leased %+v", again)
	}
	if orders, err := r.client.Heartbeat(r.ctx, lease.Worker, scheduler.Beat{}); err != nil || len(orders.Cancelled) != 0 {
		t.Errorf("heartbeat brought %+v, %v", orders, err)
	}
	must(t, second(r.client.Cancel(r.ctx, lease.Task, "")))
	if orders, err := r.client.Heartbeat(r.ctx, lease.Worker, scheduler.Beat{}); err != nil || !slices.Equal(orders.Cancelled, []scheduler.TaskID{lease.Task}) {
		t.Errorf("asked anew, heartbeat brought %+v, %v", orders, err)
	}
}

// Requests come with every heartbeat until what they are for has ended, and are removed then by whoever rescues.
func TestRequestsAreForgottenWhenTheAttemptHasEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	r.submitN(3, scheduler.NewTask{})
	leased := r.lease(worker, 3)
	for _, task := range leased {
		must(t, second(r.client.Cancel(r.ctx, task.Task, "")))
	}
	for i := range leased {
		for range 2 {
			orders, err := r.client.Heartbeat(r.ctx, worker, scheduler.Beat{})
			if err != nil || orders.Command != scheduler.CommandRun || len(orders.Cancelled) != len(leased)-i {
				t.Errorf("heartbeat brought %+v, %v, while %d run", orders, err, len(leased)-i)
			}
		}
		if i == 2 {
			must(t, second(r.client.Fail(r.ctx, leased[i].Lease, scheduler.Failure{})))
			must(t, r.client.Delete(r.ctx, leased[i].Task))
		} else {
			must(t, r.client.Complete(r.ctx, leased[i].Lease, nil))
		}
		r.rescue()
	}
	if n := read[int](r, `select count(*) from scheduler.cancellations`); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

// race lets two verbs go for one task at the same moment, many times, each on a connection of its own.
func race(t *testing.T, r *rig, rounds int, a, b func(lease scheduler.Lease) error, judge func(lease scheduler.Lease, a, b error) string) {
	t.Helper()
	worker := r.worker()
	r.submitN(rounds, scheduler.NewTask{})
	leased := r.lease(worker, rounds)
	if len(leased) != rounds {
		t.Fatalf("leased %d of %d", len(leased), rounds)
	}
	wins := map[string]int{}
	for _, task := range leased {
		var errA, errB error
		var both sync.WaitGroup
		start := make(chan struct{})
		both.Go(func() { <-start; errA = a(task.Lease) })
		both.Go(func() { <-start; errB = b(task.Lease) })
		close(start)
		both.Wait()
		wins[judge(task.Lease, errA, errB)]++
	}
	t.Logf("%v", wins)
}

// A cancel and a completion at the same moment: the task ends completed, or was asked to stop first and completes all the same; or the
// cancel comes too late, and says so. Never both, never neither.
func TestCancelRacesComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	other := r.patient()
	requested := sync.Map{}
	race(t, r, 2000,
		func(l scheduler.Lease) error {
			out, err := other.Cancel(r.ctx, l.Task, "")
			requested.Store(l.Task, out)
			return err
		},
		func(l scheduler.Lease) error { return r.client.Complete(r.ctx, l, nil) },
		func(l scheduler.Lease, cancel, complete error) string {
			task := r.task(l.Task)
			out, _ := requested.Load(l.Task)
			var late *scheduler.StateError
			asked := cancel == nil && out == scheduler.Outcome{State: scheduler.Running, Requested: true}
			if complete != nil || task.State != scheduler.Completed || task.Error != nil || asked != (task.CancelRequestedAt != nil) ||
				!asked && (!errors.As(cancel, &late) || late.State != scheduler.Completed) {
				t.Errorf("complete %v, cancel %v %+v, task %s", complete, cancel, out, task.State)
			}
			if asked {
				return "cancel first"
			}
			return "complete first"
		})
}

// A cancel and a failure at the same moment: cancelled if the cancel came first or finds it waiting for its retry.
func TestCancelRacesFail(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	other := r.patient()
	race(t, r, 1000,
		func(l scheduler.Lease) error { return second(other.Cancel(r.ctx, l.Task, "")) },
		func(l scheduler.Lease) error { return second(r.client.Fail(r.ctx, l, scheduler.Failure{})) },
		func(l scheduler.Lease, cancel, fail error) string {
			task := r.task(l.Task)
			outcome := r.attempts(l.Task)[0].Outcome
			if cancel != nil || fail != nil || task.State != scheduler.Cancelled || task.FinishedAt == nil {
				t.Errorf("cancel %v, fail %v, task %s", cancel, fail, task.State)
			}
			return outcome
		})
}

// A cancel and a completion in two transactions, in both orders, so that the second one really waits for the first.
func TestCancelWaitsForACompletion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.patient()
	for _, commit := range []bool{true, false} {
		lease := r.running(scheduler.NewTask{})
		tx := r.begin()
		must(t, r.client.CompleteTx(r.ctx, tx, lease, nil))
		answer := make(chan error)
		go func() { answer <- second(client.Cancel(r.ctx, lease.Task, "")) }() // received below
		await(t, "cancel waits", func() bool { return r.someoneWaits() })
		if commit {
			must(t, tx.Commit(r.ctx))
		} else {
			must(t, tx.Rollback(r.ctx))
		}
		err := <-answer
		var late *scheduler.StateError
		task := r.task(lease.Task)
		if commit && (!errors.As(err, &late) || late.State != scheduler.Completed || task.State != scheduler.Completed) ||
			!commit && (err != nil || task.State != scheduler.Running || task.CancelRequestedAt == nil) {
			t.Errorf("completion committed %v: cancel %v, task %s", commit, err, task.State)
		}
	}
	lease := r.running(scheduler.NewTask{})
	tx := r.begin()
	_, err := tx.Exec(r.ctx, `select scheduler.cancel($1)`, lease.Task)
	must(t, err)
	answer := make(chan error)
	go func() { answer <- second(client.Fail(r.ctx, lease, scheduler.Failure{})) }() // received below
	await(t, "fail waits", func() bool { return r.someoneWaits() })
	must(t, tx.Commit(r.ctx))
	must(t, <-answer)
	if task := r.task(lease.Task); task.State != scheduler.Cancelled {
		t.Errorf("failed after a cancel that committed first: %s", task.State)
	}
}

// someoneWaits reports whether somebody waits for a lock in the rig's database.
func (r *rig) someoneWaits() bool {
	return read[bool](r, `select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = current_database())`)
}

// A cancel and a lease of the same ready task: cancelled, or running and asked to stop.
func TestCancelRacesLease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	worker, other := r.worker(), r.patient()
	for range 500 {
		id := r.submit(scheduler.NewTask{})
		var out scheduler.Outcome
		var leased []scheduler.LeasedTask
		var both sync.WaitGroup
		start := make(chan struct{})
		both.Go(func() {
			<-start
			var err error
			if out, err = other.Cancel(r.ctx, id, ""); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() { <-start; leased = r.lease(worker, 1) })
		close(start)
		both.Wait()
		task := r.task(id)
		ran := len(leased) == 1
		if ran != (task.State == scheduler.Running) || out.Requested != ran || out.State != task.State || task.CancelRequestedAt == nil {
			t.Fatalf("leased %d, cancel answered %+v, task %s", len(leased), out, task.State)
		}
		if ran {
			must(t, r.client.Complete(r.ctx, leased[0].Lease, nil))
		}
	}
}

// A cancel and the rescue of the same task: cancelled, whoever comes first.
func TestCancelRacesRescue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	other := r.patient()
	for range 150 {
		lease := r.running(scheduler.NewTask{})
		r.kill(lease.Worker)
		var both sync.WaitGroup
		start := make(chan struct{})
		both.Go(func() {
			<-start
			if _, err := other.Cancel(r.ctx, lease.Task, ""); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			<-start
			if err := r.client.RescueOnce(r.ctx); err != nil {
				t.Error(err)
			}
		})
		close(start)
		both.Wait()
		r.ageLeases() // the cancel may have had the row locked
		r.rescue()
		if task := r.task(lease.Task); task.State != scheduler.Cancelled || task.FinishedAt == nil || task.Crashes != 1 {
			t.Fatalf("%+v", task)
		}
	}
}

// From SQL, in a transaction of the caller's: undone with it.
func TestCancelAndRetryInATransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{})
	undo := errors.New("undo")
	err := r.tx(func(tx pgx.Tx) error {
		var state string
		var requested bool
		must(t, tx.QueryRow(r.ctx, `select state, requested from scheduler.cancel($1, 'x')`, id).Scan(&state, &requested))
		if state != "cancelled" || requested {
			t.Errorf("%s, %v", state, requested)
		}
		must(t, tx.QueryRow(r.ctx, `select state from scheduler.retry($1)`, id).Scan(&state))
		if state != "ready" {
			t.Errorf("%s", state)
		}
		return undo
	})
	if task := r.task(id); !errors.Is(err, undo) || task.State != scheduler.Ready || task.Revision != 1 {
		t.Errorf("%v, %+v", err, task)
	}
}
