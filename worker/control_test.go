package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// Cancelling reaches a running handler by notification alone (no heartbeat comes for an hour), and by heartbeat alone.
func TestCancelReachesTheHandler(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pollOnly  bool
		heartbeat time.Duration
	}{
		"by notification": {false, time.Hour},
		"by heartbeat":    {true, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigWith(t, scheduler.Config{PollOnly: c.pollOnly})
			registry := worker.NewRegistry()
			begun, causes := make(chan none, 1), make(chan error, 1)
			worker.Handle(registry, "k", func(ctx context.Context, _ *worker.Task[none]) (none, error) {
				begun <- none{}
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return none{}, ctx.Err()
			})
			r.start(registry, worker.Config{Heartbeat: c.heartbeat, TTL: max(patience, 3*c.heartbeat), Poll: 50 * time.Millisecond})
			// Once notifications arrive, so does the first task's; the second is the one that counts.
			for range 2 {
				id := r.submit(scheduler.NewTask{Kind: "k"})
				receive(t, begun, "the handler") // which a notification that comes before does not reach
				if !c.pollOnly {
					await(t, "a listener", func() bool {
						return read[int](r, `select count(*) from pg_stat_activity where datname = current_database() and query like 'listen %"scheduler_due"%'`) > 0
					})
				}
				out, err := r.client.Cancel(t.Context(), id, "not wanted any more")
				if err != nil || !out.Requested || out.State != scheduler.Running {
					t.Fatalf("%+v, %v", out, err)
				}
				if cause := receive(t, causes, "the cause"); !errors.Is(cause, worker.ErrCancelled) {
					t.Errorf("cause %v", cause)
				}
				task, attempts := r.final(id), r.attempts(id)
				if task.State != scheduler.Cancelled || text(task.ErrorCode) != "cancelled" || text(task.Error) != "not wanted any more" ||
					len(attempts) != 1 || attempts[0].Outcome != "cancelled" {
					t.Errorf("%s, %s: %s; attempts %+v", task.State, text(task.ErrorCode), text(task.Error), attempts)
				}
			}
		})
	}
}

// Whatever a cancelled handler returns, it ends cancelled, unless it completes.
func TestCancelledHandlersEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(ctx context.Context, r *rig, task *worker.Task[none]) error
		want scheduler.State
	}{
		{"nil", func(context.Context, *rig, *worker.Task[none]) error { return nil }, scheduler.Completed},
		{"CompleteTx", func(ctx context.Context, r *rig, task *worker.Task[none]) error {
			ctx = context.WithoutCancel(ctx)
			return r.within(ctx, func(tx pgx.Tx) error { return task.CompleteTx(ctx, tx, nil) })
		}, scheduler.Completed},
		{"error", func(context.Context, *rig, *worker.Task[none]) error { return errBoom }, scheduler.Cancelled},
		{"retry", func(context.Context, *rig, *worker.Task[none]) error { return worker.RetryAfter(0, nil) }, scheduler.Cancelled},
		{"permanent", func(context.Context, *rig, *worker.Task[none]) error { return worker.Permanent(errBoom) }, scheduler.Cancelled},
		{"snooze", func(context.Context, *rig, *worker.Task[none]) error { return worker.Snooze(0) }, scheduler.Cancelled},
		{"panic", func(context.Context, *rig, *worker.Task[none]) error { panic("cancelled") }, scheduler.Cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRigWith(t, scheduler.Config{PollOnly: true, Poll: 50 * time.Millisecond}) // requests that are done with are forgotten soon
			registry := worker.NewRegistry()
			worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
				<-ctx.Done()
				return none{}, c.end(ctx, r, task)
			})
			r.start(registry, worker.Config{Heartbeat: 200 * time.Millisecond, TTL: patience, Poll: 50 * time.Millisecond})
			id := r.submit(scheduler.NewTask{Kind: "k"})
			r.reach(id, scheduler.Running)
			if _, err := r.client.Cancel(t.Context(), id, ""); err != nil {
				t.Fatal(err)
			}
			if task := r.final(id); task.State != c.want || task.Attempt != 1 {
				t.Errorf("%s at attempt %d", task.State, task.Attempt)
			}
			await(t, "the end of the request", func() bool { return read[int](r, `select count(*) from scheduler.cancellations`) == 0 })
		})
	}
}

func TestQuietRunStop(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]scheduler.Config{"notified": {}, "poll only": {PollOnly: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigWith(t, config)
			registry := worker.NewRegistry()
			release := make(chan none)
			worker.Handle(registry, "long", func(context.Context, *worker.Task[none]) (none, error) { <-release; return none{}, nil })
			worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
			x := r.start(registry, worker.Config{Heartbeat: 200 * time.Millisecond, TTL: patience, Poll: 50 * time.Millisecond})
			long := r.submit(scheduler.NewTask{Kind: "long"})
			r.reach(long, scheduler.Running)
			workers, err := r.client.Workers(t.Context())
			if err != nil || len(workers) != 1 {
				t.Fatalf("%+v, %v", workers, err)
			}
			order := func(c scheduler.Command) {
				t.Helper()
				if err := r.client.Command(t.Context(), workers[0].ID, c); err != nil {
					t.Fatal(err)
				}
				r.heard()
			}
			order(scheduler.CommandQuiet)
			held := r.submit(scheduler.NewTask{Kind: "k"})
			r.heard()
			if task := r.task(held); task.State != scheduler.Ready {
				t.Errorf("a quiet worker took a task: %s", task.State)
			}
			order(scheduler.CommandRun)
			r.final(held)
			order(scheduler.CommandStop)
			if x.ended() {
				t.Error("it ended before its task")
			}
			behind := r.submit(scheduler.NewTask{Kind: "k"})
			close(release)
			if err := x.wait(); err != nil {
				t.Error(err)
			}
			if a, b := r.task(long).State, r.task(behind).State; a != scheduler.Completed || b != scheduler.Ready {
				t.Errorf("what ran is %s, what came later %s", a, b)
			}
			r.expectNoTrace()
		})
	}
}

// A worker that may lease again looks for tasks at once, though nothing is announced and no poll comes.
func TestWorkerThatMayLeaseAgainDoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	x := r.start(registry, worker.Config{Hosted: true, Heartbeat: 100 * time.Millisecond, TTL: patience, Poll: time.Hour})
	await(t, "the worker", func() bool { return read[int](r, `select count(*) from scheduler.workers`) == 1 })
	workers, err := r.client.Workers(t.Context())
	if err != nil || len(workers) != 1 {
		t.Fatalf("%+v, %v", workers, err)
	}
	if err := r.client.Command(t.Context(), workers[0].ID, scheduler.CommandQuiet); err != nil {
		t.Fatal(err)
	}
	r.heard()
	id := r.submit(scheduler.NewTask{Kind: "k"})
	x.Hear(scheduler.ChannelReady, string(scheduler.DefaultQueue)) // in vain
	r.heard()
	if err := r.client.Command(t.Context(), workers[0].ID, scheduler.CommandRun); err != nil {
		t.Fatal(err)
	}
	r.final(id)
}

// What a heartbeat brings back too late, a request to cancel an attempt that has ended since, does not reach the next attempt of the task.
func TestCancelOfAnAttemptThatHasEnded(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	begun, end := make(chan none), make(chan error, 1)
	worker.Handle(registry, "k", func(ctx context.Context, _ *worker.Task[none]) (none, error) {
		begun <- none{}
		select {
		case err := <-end:
			return none{}, err
		case <-ctx.Done():
			return none{}, context.Cause(ctx)
		}
	})
	x := r.start(registry, worker.Config{Hosted: true, Heartbeat: time.Hour, Poll: time.Hour})
	seen := func() time.Time { return read[time.Time](r, `select seen_at from scheduler.workers`) }
	beat := func() { // as soon as no other is under way
		t.Helper()
		before := seen()
		x.Hear(scheduler.ChannelControl, "*")
		await(t, "a heartbeat", func() bool { return seen().After(before) })
	}
	id := r.submit(scheduler.NewTask{Kind: "k"})
	x.Hear(scheduler.ChannelReady, string(scheduler.DefaultQueue))
	receive(t, begun, "the first attempt")
	if _, err := r.client.Cancel(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	p.doom("heartbeat", 1, late)
	beat()
	end <- errBoom
	if task := r.final(id); task.State != scheduler.Cancelled {
		t.Errorf("%s", task.State)
	}
	if _, err := r.client.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	x.Hear(scheduler.ChannelReady, string(scheduler.DefaultQueue))
	receive(t, begun, "the second attempt")
	p.deliver()
	beat()
	end <- nil
	await(t, "the end of the second attempt", func() bool { return r.task(id).State != scheduler.Running })
	if task := r.task(id); task.State != scheduler.Completed || task.Attempt != 2 || task.Failures != 0 {
		t.Errorf("%s at attempt %d with %d failures: %s", task.State, task.Attempt, task.Failures, text(task.Error))
	}
}

// heard waits for two heartbeats: by the second, the worker has taken in what the first brought.
func (r *rig) heard() {
	r.t.Helper()
	for range 2 {
		seen := read[time.Time](r, `select seen_at from scheduler.workers`)
		await(r.t, "a heartbeat", func() bool { return read[time.Time](r, `select seen_at from scheduler.workers`).After(seen) })
	}
}

func TestPausedQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	release := make(chan none)
	worker.Handle(registry, "long", func(context.Context, *worker.Task[none]) (none, error) { <-release; return none{}, nil })
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	r.start(registry, worker.Config{Queues: []worker.Share{{Queue: "a"}, {Queue: "b"}}, Heartbeat: 200 * time.Millisecond, TTL: patience, Poll: 50 * time.Millisecond})
	running := r.submit(scheduler.NewTask{Kind: "long", Queue: "a"})
	r.reach(running, scheduler.Running)
	if _, err := r.client.PauseQueue(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	held := r.submit(scheduler.NewTask{Kind: "k", Queue: "a"})
	for range 20 { // the other queue flows, and what runs goes on
		r.final(r.submit(scheduler.NewTask{Kind: "k", Queue: "b"}))
	}
	r.heard()
	close(release)
	r.final(running)
	if task := r.task(held); task.State != scheduler.Ready {
		t.Errorf("a task of a paused queue is %s", task.State)
	}
	if resumed, err := r.client.ResumeQueue(t.Context(), "a"); err != nil || !resumed {
		t.Fatal(resumed, err)
	}
	if task := r.final(held); task.State != scheduler.Completed {
		t.Errorf("%s", task.State)
	}
}

func TestKindNobodyRunsStaysReady(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	var strange []scheduler.TaskID
	for range 50 {
		strange = append(strange, r.submit(scheduler.NewTask{Kind: "strange", Priority: -1}))
	}
	r.start(registry, worker.Config{Concurrency: 2})
	for range 20 {
		if task := r.final(r.submit(scheduler.NewTask{Kind: "k"})); task.State != scheduler.Completed {
			t.Errorf("%s", task.State)
		}
	}
	for _, id := range strange {
		if task := r.task(id); task.State != scheduler.Ready || task.Attempt != 0 {
			t.Errorf("%s at attempt %d", task.State, task.Attempt)
		}
	}
	reasons, err := r.client.Explain(t.Context(), strange[0])
	if err != nil || len(reasons) == 0 || reasons[0].Code != "no_worker_for_kind" {
		t.Errorf("%+v, %v", reasons, err)
	}
}

// Notifications get lost in every way there is; tasks start all the same, since everybody polls.
func TestWithoutNotifications(t *testing.T) {
	t.Parallel()
	serve := func(r *rig) {
		registry := worker.NewRegistry()
		worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
			if task.Attempt == 1 {
				return none{}, errBoom
			}
			return none{}, nil
		})
		r.start(registry, worker.Config{Poll: 200 * time.Millisecond})
		for i := range 10 {
			task := r.final(r.submit(scheduler.NewTask{Kind: "k", Delay: time.Duration(i%2) * 50 * time.Millisecond, Backoff: []time.Duration{20 * time.Millisecond}}))
			if task.State != scheduler.Completed || task.Attempt != 2 {
				r.t.Errorf("%s at attempt %d", task.State, task.Attempt)
			}
		}
	}
	t.Run("poll only", func(t *testing.T) {
		t.Parallel()
		serve(newRigWith(t, scheduler.Config{PollOnly: true, Poll: 200 * time.Millisecond}))
	})
	t.Run("listener killed again and again", func(t *testing.T) {
		t.Parallel()
		r := newRigWith(t, scheduler.Config{Poll: 200 * time.Millisecond})
		var killed atomic.Int64
		ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
		done := make(chan none)
		go func() {
			defer close(done)
			for pause(ctx, 50*time.Millisecond) == nil {
				var n int64
				if r.db.QueryRow(ctx, `select count(pg_terminate_backend(pid)) from pg_stat_activity
					where datname = current_database() and query like 'listen %"scheduler_due"%'`).Scan(&n) == nil {
					killed.Add(n)
				}
			}
		}()
		serve(r)
		await(t, "two dead listeners", func() bool { return killed.Load() > 1 })
		stop()
		<-done
	})
	t.Run("listening is refused", func(t *testing.T) {
		t.Parallel()
		r, p := newProxiedRig(t, scheduler.Config{Poll: 200 * time.Millisecond})
		p.decide(func(statement string) fate {
			if strings.HasPrefix(statement, "listen") {
				return breakOff
			}
			return pass
		})
		serve(r)
	})
}

// Nothing to do costs next to nothing: a loop that turns without a pause would ask thousands of times.
func TestIdleWorkerIsQuiet(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	r.start(registry, worker.Config{})
	r.final(r.submit(scheduler.NewTask{Kind: "k"}))
	var asked atomic.Int64
	p.decide(func(string) fate { asked.Add(1); return pass })
	if err := pause(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n > 30 {
		t.Errorf("%d statements in 1 s", n)
	} else {
		t.Logf("%d statements in 1 s", n)
	}
}

func TestQueuesShareSlotsByWeight(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	started := make(chan scheduler.Queue, 5000)
	worker.Handle(registry, "k", func(_ context.Context, task *worker.Task[none]) (none, error) {
		started <- task.Queue
		return none{}, nil
	})
	const backlog, seen = 1000, 900
	var tasks []scheduler.NewTask
	for range backlog {
		tasks = append(tasks, scheduler.NewTask{Kind: "k", Queue: "a"}, scheduler.NewTask{Kind: "k", Queue: "b"})
	}
	if _, err := r.client.SubmitMany(t.Context(), tasks); err != nil {
		t.Fatal(err)
	}
	r.start(registry, worker.Config{Queues: []worker.Share{{Queue: "a", Weight: 2}, {Queue: "b", Weight: 1}}, Concurrency: 12})
	of := map[scheduler.Queue]int{}
	for range seen {
		of[receive(t, started, "a task")]++
	}
	if of["a"] < seen*6/10 || of["a"] > seen*73/100 {
		t.Errorf("of the first %d tasks %d were of a, %d of b", seen, of["a"], of["b"])
	}
	for range 2*backlog - seen { // whichever ends first leaves all slots to the other
		of[receive(t, started, "a task")]++
	}
	if of["a"] != backlog || of["b"] != backlog {
		t.Errorf("%v", of)
	}
}
