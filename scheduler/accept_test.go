package scheduler_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// accepted returns a task that endpoint shop has accepted.
func (r *rig) accepted(task scheduler.NewTask) scheduler.Lease {
	r.t.Helper()
	lease := r.running(task)
	must(r.t, r.client.Accept(r.ctx, lease, "shop", time.Hour))
	return lease
}

// lapse has an hour pass for what was accepted.
func (r *rig) lapse() {
	r.t.Helper()
	r.exec(`update scheduler.tasks t set started_at = started_at - interval '2 h' from scheduler.leases l where l.endpoint is not null and t.id = any (l.task_ids)`)
	r.exec(`update scheduler.leases set accepted_at = accepted_at - interval '2 h', leased_at = leased_at - interval '2 h', timeout_at = timeout_at - interval '2 h' where endpoint is not null`)
}

func (r *rig) settle(lease scheduler.Lease, verb scheduler.Verb) (scheduler.Settlement, error) {
	r.t.Helper()
	return r.client.Settle(r.ctx, scheduler.Settling{Lease: lease, Verb: verb, Progress: &scheduler.Progress{Current: 7}})
}

// What an endpoint accepted goes on whatever becomes of the worker that delivered it: its death, its leaving, its looking for strays.
func TestAnAcceptedAttemptNeedsNoWorker(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*rig, scheduler.Lease){
		"killed": func(r *rig, l scheduler.Lease) { r.kill(l.Worker); r.rescue() },
		"left":   func(r *rig, l scheduler.Lease) { must(r.t, r.client.Deregister(r.ctx, l.Worker)) },
		"left over HTTP": func(r *rig, l scheduler.Lease) {
			must(r.t, r.client.Deregister(r.ctx, l.Worker))
			must(r.t, r.client.Leave(r.ctx, l.Worker))
		},
		"another took its id, and left": func(r *rig, l scheduler.Lease) {
			must(r.t, r.client.Deregister(r.ctx, l.Worker))
			p := poll(l.Worker, 0)
			p.Tells = true
			r.pollNow(p)
			must(r.t, second(r.client.RemoteHeartbeat(r.ctx, l.Worker, nil, 0)))
			must(r.t, r.client.Leave(r.ctx, l.Worker))
		},
		"reclaims": func(r *rig, l scheduler.Lease) { must(r.t, second(r.client.Reclaim(r.ctx, l.Worker, nil, 0))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.endpoint(scheduler.NewEndpoint{})
			lease := r.accepted(scheduler.NewTask{})
			must(t, r.client.Accept(r.ctx, lease, "shop", time.Minute)) // said again: as it was
			r.ageLeases()
			r.exec(`update scheduler.tasks set started_at = started_at - interval '1 min'`)
			if orders, err := r.client.Heartbeat(r.ctx, lease.Worker, scheduler.Beat{Held: column[int64](r, `select id from scheduler.leases where endpoint is null`)}); err != nil || orders.Strays {
				t.Errorf("a heartbeat after it: %+v, %v", orders, err)
			}
			lose(r, lease)
			r.rescue()
			if task := r.task(lease.Task); task.State != scheduler.Running || task.Attempt != 1 || task.Crashes != 0 {
				t.Fatalf("%s, attempt %d, %d crashes", task.State, task.Attempt, task.Crashes)
			}
			if e, err := r.client.Endpoint(r.ctx, "shop"); err != nil || e.InFlight != 1 {
				t.Errorf("%d in flight, %v", e.InFlight, err)
			}
			if health, err := r.client.Doctor(r.ctx); err != nil || health.StuckLeases != 0 {
				t.Errorf("%d stuck, %v", health.StuckLeases, err)
			}
			if why, err := r.client.Explain(r.ctx, lease.Task); err != nil || len(why) != 1 || why[0].Code != "accepted" || !strings.HasPrefix(why[0].Reason, "Endpoint shop accepted attempt 1 and is to end it within 59 min") {
				t.Errorf("%+v, %v", why, err)
			}
			if got, err := r.settle(lease, scheduler.VerbHeartbeat); err != nil || got.Cancelled || time.Until(got.ExpiresAt) < 50*time.Minute {
				t.Errorf("heartbeat: %+v, %v", got, err)
			}
			many, err := r.client.SettleMany(r.ctx, []scheduler.Settling{{Lease: lease, Verb: scheduler.VerbHeartbeat, Checkpoint: json.RawMessage(`7`)}})
			if err != nil || many[0].Err != nil || time.Until(many[0].ExpiresAt) < 50*time.Minute {
				t.Errorf("heartbeat: %+v, %v", many, err)
			}
			for range 2 {
				if got, err := r.settle(lease, scheduler.VerbComplete); err != nil || got.State != scheduler.Completed {
					t.Errorf("complete: %+v, %v", got, err)
				}
			}
			if task := r.task(lease.Task); task.State != scheduler.Completed || *task.ProgressCurrent != 7 {
				t.Errorf("%+v", task)
			}
			if e, err := r.client.Endpoint(r.ctx, "shop"); err != nil || e.InFlight != 0 {
				t.Errorf("%d in flight, %v", e.InFlight, err)
			}
			r.turn(scheduler.Deliveries{Worker: r.worker()})
			if n := read[int](r, `select count(*) from scheduler.leases where endpoint is not null`); n != 0 {
				t.Errorf("%d lease rows are left", n)
			}
		})
	}
}

// Of those that were leased together, the accepted one stays when the worker dies, and the others come back.
func TestOneOfALeaseIsAccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.submitN(3, scheduler.NewTask{})
	worker := r.worker()
	leased := r.lease(worker, 3)
	must(t, r.client.Accept(r.ctx, leased[1].Lease, "shop", time.Hour))
	r.kill(worker)
	r.rescue()
	for _, id := range ids {
		want := scheduler.Ready
		if id == leased[1].Task {
			want = scheduler.Running
		}
		if got := r.state(id); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if err := r.client.Accept(r.ctx, leased[0].Lease, "shop", time.Hour); !errors.Is(err, scheduler.ErrLeaseLost) {
		t.Errorf("accepted after it was lost: %v", err)
	}
}

func TestAcceptOfWhatIsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{})
	other := lease
	other.Attempt++
	if err := r.client.Accept(r.ctx, other, "shop", time.Hour); !errors.Is(err, scheduler.ErrLeaseLost) {
		t.Error(err)
	}
	must(t, r.client.Complete(r.ctx, lease, nil))
	if err := r.client.Accept(r.ctx, lease, "shop", time.Hour); !errors.Is(err, scheduler.ErrLeaseLost) {
		t.Error(err)
	}
	if n := read[int](r, `select count(*) from scheduler.leases where endpoint is not null`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// Once its time is over any process ends the attempt, by the task's policy of retries.
func TestAcceptedAndForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	last := r.accepted(scheduler.NewTask{MaxAttempts: 1})
	more := r.accepted(scheduler.NewTask{Backoff: []time.Duration{time.Minute}})
	short := r.accepted(scheduler.NewTask{MaxAttempts: 1, Timeout: 30 * time.Minute})
	must(t, r.client.TimeOutOnce(r.ctx))
	for _, lease := range []scheduler.Lease{last, more, short} {
		if got := r.state(lease.Task); got != scheduler.Running {
			t.Fatalf("before its time it is %s", got)
		}
		r.kill(lease.Worker)
	}
	if got, err := r.settle(short, scheduler.VerbHeartbeat); err != nil || time.Until(got.ExpiresAt) > 30*time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
	r.rescue()
	r.lapse()
	must(t, r.client.TimeOutOnce(r.ctx))
	const said = "endpoint shop answered 202 and did not end the task within 1h0m0s"
	if task := r.task(last.Task); task.State != scheduler.Failed || text(task.ErrorCode) != "timeout" || text(task.Error) != said || task.Failures != 1 {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if task := r.task(more.Task); task.State != scheduler.Scheduled || text(task.ErrorCode) != "timeout" || text(task.Error) != said || task.Crashes != 0 {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if task := r.task(short.Task); task.State != scheduler.Failed || text(task.ErrorCode) != "timeout" {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if _, err := r.settle(last, scheduler.VerbComplete); !errors.Is(err, scheduler.ErrLeaseLost) {
		t.Errorf("a late complete: %v", err)
	}
	r.exec(`update scheduler.leases set timeout_at = now()`)
	must(t, r.client.TimeOutOnce(r.ctx))
	if n := read[int](r, `select count(*) from scheduler.leases where endpoint is not null`); n != 0 {
		t.Errorf("%d lease rows are left", n)
	}
	if got := endings(r.client); got["failed"] != 2 || got["retried"] != 1 || got["completed"] != 0 {
		t.Errorf("counted: %v", got)
	}
}

// The task's own timeout holds, and says so.
func TestAcceptedAndTimedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{MaxAttempts: 1, Timeout: 30 * time.Minute})
	must(t, r.client.Accept(r.ctx, lease, "shop", 24*time.Hour))
	r.lapse()
	must(t, r.client.TimeOutOnce(r.ctx))
	if task := r.task(lease.Task); task.State != scheduler.Failed || text(task.ErrorCode) != "timeout" || text(task.Error) != "timed out after 30m0s; endpoint shop answered 202 and did not end the task" {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
}

// A cancel ends what was accepted, with its worker or without; until then a heartbeat tells of it, and a completion wins.
func TestAcceptedAndCancelled(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*rig, scheduler.Lease){
		"alive":  func(*rig, scheduler.Lease) {},
		"killed": func(r *rig, l scheduler.Lease) { r.kill(l.Worker); r.rescue() },
		"left":   func(r *rig, l scheduler.Lease) { must(r.t, r.client.Deregister(r.ctx, l.Worker)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			one, two := r.accepted(scheduler.NewTask{}), r.accepted(scheduler.NewTask{})
			before := r.running(scheduler.NewTask{})
			for i, lease := range []scheduler.Lease{before, one, two} {
				out, err := r.client.Cancel(r.ctx, lease.Task, "no longer wanted")
				if err != nil || !out.Requested || out.State != scheduler.Running {
					t.Errorf("%+v, %v", out, err)
				}
				if i == 0 { // asked for before the 202 came
					must(t, r.client.Accept(r.ctx, lease, "shop", time.Hour))
				}
				lose(r, lease)
				if got, err := r.settle(lease, scheduler.VerbHeartbeat); err != nil || !got.Cancelled {
					t.Errorf("%+v, %v", got, err)
				}
			}
			if got, err := r.settle(two, scheduler.VerbComplete); err != nil || got.State != scheduler.Completed {
				t.Errorf("%+v, %v", got, err)
			}
			if why, err := r.client.Explain(r.ctx, one.Task); err != nil || len(why) != 2 || why[0].Code != "cancel_requested" || why[1].Code != "accepted" {
				t.Errorf("%+v, %v", why, err)
			}
			must(t, r.client.TimeOutOnce(r.ctx))
			for _, lease := range []scheduler.Lease{before, one} {
				if task := r.task(lease.Task); task.State != scheduler.Cancelled || text(task.Error) != "no longer wanted" {
					t.Errorf("%s: %s", task.State, text(task.Error))
				}
				for _, verb := range []scheduler.Verb{scheduler.VerbHeartbeat, scheduler.VerbComplete} {
					if _, err := r.settle(lease, verb); !errors.Is(err, scheduler.ErrLeaseLost) {
						t.Errorf("%s after it: %v", verb, err)
					}
				}
			}
			if got := r.state(two.Task); got != scheduler.Completed {
				t.Errorf("%s", got)
			}
			r.rescue()
			if n := read[int](r, `select count(*) from scheduler.cancellations`); n != 0 {
				t.Errorf("%d requests are left", n)
			}
		})
	}
}

// While an endpoint has accepted as much as it takes at once, nobody may deliver more, whichever workers there are.
func TestAcceptedTasksHoldTheConcurrency(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.endpoint(scheduler.NewEndpoint{Concurrency: 2})
	one, _ := r.accepted(scheduler.NewTask{}), r.accepted(scheduler.NewTask{})
	r.exec(`delete from scheduler.workers`)
	r.rescue()
	waits, a, b := r.submit(scheduler.NewTask{}), r.worker(), r.worker()
	if turn := r.turn(scheduler.Deliveries{Worker: a, More: 5}); turn.Granted != 0 || turn.RetryMS == 0 {
		t.Errorf("%+v", turn)
	}
	if why, err := r.client.Explain(r.ctx, waits); err != nil || why[0].Code != "endpoint_busy" {
		t.Errorf("%+v, %v", why, err)
	}
	must(t, r.client.Complete(r.ctx, one, nil))
	if turn := r.turn(scheduler.Deliveries{Worker: b, More: 5}); turn.Granted != 1 {
		t.Errorf("%+v", turn)
	}
	if turn := r.turn(scheduler.Deliveries{Worker: a, More: 5}); turn.Granted != 0 {
		t.Errorf("%+v", turn)
	}
}

// However an acceptance and the rescue of its worker fall together, the attempt goes on, or the task is given back: never both, never neither.
func TestAcceptRacesRescue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.client = r.patient()
	kept := 0
	for range 60 {
		r.submitN(4, scheduler.NewTask{})
		worker := r.worker()
		leased := r.lease(worker, 4)
		r.kill(worker)
		var errs [4]error
		var all sync.WaitGroup
		for i, task := range leased {
			all.Go(func() { errs[i] = r.client.Accept(r.ctx, task.Lease, "shop", time.Hour) })
		}
		all.Go(r.rescue)
		all.Wait()
		r.rescue() // what was locked is left to the next
		for i, task := range leased {
			want := scheduler.Ready
			if errs[i] == nil {
				want, kept = scheduler.Running, kept+1
			} else if !errors.Is(errs[i], scheduler.ErrLeaseLost) {
				t.Fatal(errs[i])
			}
			if got := r.task(task.Task); got.State != want || got.Crashes != map[scheduler.State]int{scheduler.Ready: 1}[want] {
				t.Fatalf("%v: %s, %d crashes", errs[i], got.State, got.Crashes)
			}
		}
		r.exec(`delete from scheduler.leases`)
		r.exec(`update scheduler.tasks set state = 'cancelled', finished_at = now() where state in ('ready', 'running')`)
	}
	t.Logf("%d of 240 were accepted in time", kept)
}

// A worker's load is what it says with its heartbeats, and before the first what it has leased.
func TestTheLoadOfAWorkerBeforeItsFirstHeartbeat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submitN(3, scheduler.NewTask{})
	worker := r.worker()
	leased := r.lease(worker, 3)
	load := func(want int) {
		t.Helper()
		if list, err := r.client.Workers(r.ctx); err != nil || len(list) != 1 || list[0].Running != want {
			t.Errorf("%+v, %v, want %d", list, err, want)
		}
	}
	load(3)
	must(t, r.client.Complete(r.ctx, leased[0].Lease, nil))
	load(2)
	must(t, r.client.Accept(r.ctx, leased[1].Lease, "shop", time.Hour))
	load(1)
	must(t, second(r.client.Heartbeat(r.ctx, worker, scheduler.Beat{Running: 7})))
	load(7)
}
