package worker_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

func TestDrainLetsTasksEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	begun, release := make(chan none), make(chan none)
	worker.Handle(registry, "k", func(ctx context.Context, _ *worker.Task[none]) (none, error) {
		close(begun)
		<-release
		return none{}, ctx.Err()
	})
	x := r.start(registry, worker.Config{Concurrency: 1})
	running, waiting := r.submit(scheduler.NewTask{Kind: "k"}), r.submit(scheduler.NewTask{Kind: "k"})
	receive(t, begun, "the handler")
	x.cancel()
	close(release)
	if err := x.wait(); err != nil {
		t.Error(err)
	}
	if task := r.task(running); task.State != scheduler.Completed {
		t.Errorf("%s: %s", task.State, text(task.Error))
	}
	if task := r.task(waiting); task.State != scheduler.Ready || task.Attempt != 0 {
		t.Errorf("the task behind is %s at attempt %d", task.State, task.Attempt)
	}
	r.expectNoTrace()
}

// expectNoTrace checks that no worker and no lease is left.
func (r *rig) expectNoTrace() {
	r.t.Helper()
	if n := read[int](r, `select (select count(*) from scheduler.workers) + (select count(*) from scheduler.leases) + (select count(*) from scheduler.cancellations)`); n != 0 {
		r.t.Errorf("%d rows of workers, leases and cancellations are left", n)
	}
}

func TestDrainTimeoutHandsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	begun, causes := make(chan none), make(chan error, 1)
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		task.Log("started")
		close(begun)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return none{}, ctx.Err()
	})
	x := r.start(registry, worker.Config{DrainTimeout: 10 * time.Millisecond})
	id := r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 1})
	receive(t, begun, "the handler")
	if err := x.stop(); err != nil {
		t.Error(err)
	}
	if cause := receive(t, causes, "the cause"); !errors.Is(cause, worker.ErrShutdown) {
		t.Errorf("cause %v", cause)
	}
	task, attempts := r.task(id), r.attempts(id)
	if task.State != scheduler.Ready || task.Failures != 0 || task.Crashes != 0 || task.WorkerID != nil {
		t.Errorf("%+v", task)
	}
	if len(attempts) != 1 || attempts[0].Outcome != "released" {
		t.Errorf("attempts %+v", attempts)
	}
	if lines := r.lines(id, "log"); len(lines) != 1 {
		t.Errorf("lines %q", lines)
	}
	r.expectNoTrace()
}

// A handler that succeeds although it was told to stop has succeeded.
func TestDrainTimeoutKeepsASuccess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	begun := make(chan none)
	worker.Handle(registry, "k", func(ctx context.Context, _ *worker.Task[none]) (string, error) {
		close(begun)
		<-ctx.Done()
		return "done", nil
	})
	x := r.start(registry, worker.Config{DrainTimeout: -1})
	id := r.submit(scheduler.NewTask{Kind: "k"})
	<-begun
	if err := x.stop(); err != nil {
		t.Error(err)
	}
	if task := r.task(id); task.State != scheduler.Completed || string(task.Result) != `"done"` {
		t.Errorf("%s", task.State)
	}
}

// Handlers that ignore their contexts: Run ends without them, and their tasks are handed back at once.
func TestDeafHandlersDoNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*running) error{
		"drain": func(x *running) error { return x.stop() },
		"abort": func(x *running) error { x.Abort(); return x.wait() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			registry := worker.NewRegistry()
			begun, hear, heard := make(chan none), make(chan none), make(chan none)
			worker.Handle(registry, "deaf", func(_ context.Context, task *worker.Task[none]) (string, error) {
				close(begun)
				<-hear
				defer close(heard)
				task.Log("too late")
				return "too late", task.Report(1, 1, "too late")
			})
			x := r.start(registry, worker.Config{DrainTimeout: -1})
			id := r.submit(scheduler.NewTask{Kind: "deaf"})
			r.reach(id, scheduler.Running)
			receive(t, begun, "the deaf handler's start")
			if err := end(x); (name == "abort") != errors.Is(err, worker.ErrAborted) {
				t.Errorf("error %v", err)
			}
			if task, attempts := r.task(id), r.attempts(id); task.State != scheduler.Ready || task.Failures+task.Crashes != 0 ||
				len(attempts) != 1 || attempts[0].Outcome != "released" {
				t.Errorf("%s with %d failures, %d crashes; attempts %+v", task.State, task.Failures, task.Crashes, attempts)
			}
			r.expectNoTrace()
			close(hear)
			receive(t, heard, "the deaf handler's end")
			if task := r.task(id); task.State != scheduler.Ready || task.ProgressCurrent != nil || len(r.lines(id, "log")) != 0 {
				t.Errorf("it wrote after the end: %s", task.State)
			}
		})
	}
}

// The statement that hands tasks back fails: they are not lost, though their worker takes itself out.
func TestHandBackThatFails(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"never carried out": breakOff, "hangs": hang, "answer lost": loseAnswer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := newProxiedRig(t, scheduler.Config{})
			registry := worker.NewRegistry()
			begun, hear := make(chan none), make(chan none)
			defer close(hear)
			worker.Handle(registry, "deaf", func(context.Context, *worker.Task[none]) (none, error) {
				close(begun)
				<-hear
				return none{}, nil
			})
			x := r.start(registry, worker.Config{DrainTimeout: -1})
			id := r.submit(scheduler.NewTask{Kind: "deaf"})
			receive(t, begun, "the handler")
			p.doom("release", 1000, f)
			if err := x.stop(); err != nil {
				t.Error(err)
			}
			other := worker.NewRegistry()
			worker.Handle(other, "deaf", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
			r.startOn(r.client, other, worker.Config{})
			defer p.cut()
			if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 2 || task.Failures != 0 {
				t.Errorf("%s at attempt %d with %d failures", task.State, task.Attempt, task.Failures)
			}
		})
	}
}

// The outcome could not be written yet when Abort is called: the task is handed back, not forgotten.
func TestAbortWhileAnOutcomeWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	met := p.doom("complete", 1000, breakOff)
	x := r.start(registry, worker.Config{Concurrency: 20})
	for range 20 {
		r.submit(scheduler.NewTask{Kind: "k"})
	}
	await(t, "many tries to complete", func() bool { return met() >= 10 })
	x.Abort()
	if err := x.wait(); !errors.Is(err, worker.ErrAborted) {
		t.Errorf("error %v", err)
	}
	if n := read[int](r, `select count(*) from scheduler.tasks where state <> 'ready'`); n != 0 {
		t.Errorf("%d tasks were not handed back", n)
	}
	r.expectNoTrace()
}

// The database does not answer any more when the worker is told to stop: Run ends all the same, and leaves nothing.
func TestShutdownWithoutADatabase(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]func(*proxy){
		"silent":  func(p *proxy) { p.freeze() },
		"refused": func(p *proxy) { p.listener.Close(); p.cut() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := newProxiedRig(t, scheduler.Config{})
			registry := worker.NewRegistry()
			worker.Handle(registry, "k", func(ctx context.Context, _ *worker.Task[none]) (none, error) { <-ctx.Done(); return none{}, nil })
			x := r.start(registry, worker.Config{DrainTimeout: 10 * time.Millisecond})
			id := r.submit(scheduler.NewTask{Kind: "k"})
			r.reach(id, scheduler.Running)
			gone(p)
			if err := x.stop(); err != nil {
				t.Error(err)
			}
			r.exec(`update scheduler.workers set seen_at = seen_at - ttl_ms * interval '1 ms'`) // as if it had been gone for so long
			other := worker.NewRegistry()
			worker.Handle(other, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
			r.startOn(r.client, other, worker.Config{})
			if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 2 || task.Crashes != 1 {
				t.Errorf("%s at attempt %d with %d crashes", task.State, task.Attempt, task.Crashes)
			}
			p.thaw()
			p.cut()
		})
	}
}

// A worker that is told to end while it registers leaves as any other: it is not taken for dead later, and that is no error.
func TestShutdownWhileItRegisters(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	started := make(chan *running, 1)
	var told time.Time
	p.decide(func(statement string) fate {
		if strings.HasPrefix(statement, "-- register:") {
			x := <-started
			told = time.Now()
			x.cancel()
		}
		return pass
	})
	x := r.start(registry, worker.Config{})
	started <- x
	switch err := x.wait(); {
	case err == nil:
		r.expectNoTrace()
	case time.Since(told) < worker.Patience:
		t.Error(err)
	default: // it has waited as long as it does for a database that does not answer
		t.Log("the machine stood still:", err)
	}
}

func TestRunThatCannotBegin(t *testing.T) {
	t.Parallel()
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	t.Run("no database", func(t *testing.T) {
		t.Parallel()
		r, p := newProxiedRig(t, scheduler.Config{})
		p.listener.Close()
		p.cut()
		if err := r.start(registry, worker.Config{}).wait(); err == nil || !scheduler.Unavailable(err) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("aborted before", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		w, err := worker.New(r.works, registry, worker.Config{Logger: r.logs.logger()})
		if err != nil {
			t.Fatal(err)
		}
		id := r.submit(scheduler.NewTask{Kind: "k"})
		w.Abort()
		w.Abort()
		if err := w.Run(t.Context()); !errors.Is(err, worker.ErrAborted) {
			t.Errorf("error %v", err)
		}
		if task := r.task(id); task.State != scheduler.Ready {
			t.Errorf("%s", task.State)
		}
		r.expectNoTrace()
	})
}

func TestRunReturnsWithNothingLeftBehind(t *testing.T) { // not parallel: it looks at all goroutines of the process
	r := newRig(t)
	before := goleak.IgnoreCurrent()
	client, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: r.url, Logger: r.logs.logger()})
	if err != nil {
		t.Fatal(err)
	}
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		task.Log("line")
		return none{}, errors.Join(task.Report(1, 1, ""), errBoom)
	})
	if err := worker.HandleExec(registry, "exec", []string{"sh", "-c", "echo out; sleep 0.05"}); err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(client, registry, worker.Config{Concurrency: 20, Logger: r.logs.logger()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for i := range 60 {
		r.submit(scheduler.NewTask{Kind: []string{"k", "exec"}[i%2], MaxAttempts: 2, Backoff: []time.Duration{0}})
	}
	await(t, "the tasks' ends", func() bool {
		return read[int](r, `select count(*) from scheduler.tasks where state in ('completed', 'failed')`) == 60
	})
	cancel()
	if err := receive(t, done, "the end of Run"); err != nil {
		t.Error(err)
	}
	client.Close()
	// A pool of the rig's may have had a slow write meanwhile; pgx then leaves a reader behind until more arrives. What pgx closes for a
	// context that has ended, it closes by itself, as soon as PostgreSQL answers.
	pgtest.AwaitNoGoroutines(t, before, goleak.IgnoreAnyFunction("github.com/jackc/pgx/v5/pgconn/internal/bgreader.(*BGReader).bgRead"))
}

// Workers come and go a hundred times while tasks flow: each task completes, and its effect is there once.
func TestNothingIsLostOverManyShutdowns(t *testing.T) {
	t.Parallel()
	r := newRig(t).withEffects()
	registry := worker.NewRegistry()
	var ran atomic.Int64
	worker.Handle(registry, "tx", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		ran.Add(1)
		if err := pause(ctx, rand.N(5*time.Millisecond)); err != nil {
			return none{}, err
		}
		tx, err := r.db.Begin(ctx)
		if err != nil {
			return none{}, err
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		if err := effect(ctx, tx, task.Info); err != nil {
			return none{}, err
		}
		if err := task.CompleteTx(ctx, tx, nil); err != nil {
			return none{}, err
		}
		return none{}, tx.Commit(ctx)
	})
	worker.Handle(registry, "plain", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		ran.Add(1)
		return none{}, pause(ctx, rand.N(5*time.Millisecond))
	})
	const shutdowns = 100
	submitted := 0
	for n := range shutdowns {
		config := worker.Config{Concurrency: 10, DrainTimeout: []time.Duration{-1, time.Millisecond, time.Second}[n%3]}
		x := r.start(registry, config)
		goal := ran.Load() + 20
		for range 30 {
			r.submit(scheduler.NewTask{Kind: []string{"tx", "plain"}[submitted%2], MaxAttempts: 1})
			submitted++
		}
		await(t, "some tasks run", func() bool { return ran.Load() >= goal })
		if n%10 == 9 {
			x.Abort()
		}
		x.cancel()
		if err := x.wait(); err != nil && !errors.Is(err, worker.ErrAborted) {
			t.Fatal(err)
		}
	}
	x := r.start(registry, worker.Config{Concurrency: 10})
	await(t, "all completed", func() bool {
		return read[int](r, `select count(*) from scheduler.tasks where state = 'completed'`) == submitted
	})
	if err := x.stop(); err != nil {
		t.Error(err)
	}
	released := read[int](r, `select count(*) from scheduler.attempts`)
	t.Logf("%d tasks over %d shutdowns, %d handed back", submitted, shutdowns, released)
	for what, count := range map[string]int{
		"transactional tasks without exactly one effect": read[int](r, `select count(*) from scheduler.tasks t where kind = 'tx'
			and (select count(*) from effects e where e.task_id = t.id) <> 1`),
		"failures and crashes":                 read[int](r, `select coalesce(sum(failures + crashes), 0) from scheduler.tasks`),
		"attempts that were not handed back":   read[int](r, `select count(*) from scheduler.attempts where outcome <> 'released'`),
		"attempts not accounted for":           read[int](r, `select coalesce(sum(attempt), 0) from scheduler.tasks`) - submitted - released,
		"effects of attempts that were no end": read[int](r, `select count(*) from effects e join scheduler.tasks t on t.id = e.task_id and t.attempt <> e.attempt`),
	} {
		if count != 0 {
			t.Errorf("%s: %d", what, count)
		}
	}
	r.expectNoTrace()
}

// pause is a handler's work.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
}
