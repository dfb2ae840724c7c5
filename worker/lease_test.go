package worker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// A task that takes many times the TTL stays with its worker: each heartbeat makes up for the time that has passed.
func TestHeartbeatsRenewTheLease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	begun, release := make(chan none, 2), make(chan none)
	worker.Handle(registry, "k", func(ctx context.Context, _ *worker.Task[none]) (none, error) {
		begun <- none{}
		select {
		case <-release:
			return none{}, nil
		case <-ctx.Done():
			return none{}, ctx.Err()
		}
	})
	for range 2 {
		r.start(registry, worker.Config{Heartbeat: 100 * time.Millisecond, TTL: 2 * patience})
	}
	id := r.submit(scheduler.NewTask{Kind: "k"})
	receive(t, begun, "the handler")
	for range 10 { // half a TTL each
		r.exec(`update scheduler.workers set seen_at = seen_at - ttl_ms / 2 * interval '1 ms'`)
		await(t, "heartbeats of both", func() bool {
			return read[int](r, `select count(*) from scheduler.workers where seen_at > now() - ttl_ms / 4 * interval '1 ms'`) == 2
		})
	}
	close(release)
	if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 1 || task.Crashes != 0 {
		t.Errorf("%s at attempt %d with %d crashes", task.State, task.Attempt, task.Crashes)
	}
}

// Lease rows go with the tasks that they name, while the worker lives: none of them is a stray.
func TestLeaseRowsAreDropped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	x := r.start(registry, worker.Config{Concurrency: 3})
	beats, stop := context.WithCancel(t.Context())
	var beating sync.WaitGroup
	defer beating.Wait()
	defer stop()
	beating.Go(func() { // one heartbeat after the other
		for pause(beats, time.Millisecond) == nil {
			x.Hear(scheduler.ChannelControl, "*")
		}
	})
	for range 300 {
		r.submit(scheduler.NewTask{Kind: "k"})
	}
	await(t, "the end of all", func() bool {
		return read[int](r, `select count(*) from scheduler.tasks where state = 'completed'`) == 300
	})
	await(t, "no leases", func() bool { return read[int](r, `select count(*) from scheduler.leases`) == 0 })
	if strings.Contains(r.logs.String(), "reclaim") || strings.Contains(r.logs.String(), "rescue") {
		t.Error("some were strays")
	}
}

// Heartbeats vanish, and nobody hears of that: handlers are told before the lease runs out by the database's clock. Twenty
// workers, each cut off at a moment of its own.
func TestHandlersStopBeforeTheLeaseRunsOut(t *testing.T) {
	t.Parallel()
	const heartbeat, ttl = time.Second, 3 * time.Second
	r := newRig(t)
	stood := standsStill(t)
	type told struct {
		cause error
		left  time.Duration // of the lease when it was told, by the database's clock
		err   error
	}
	const workers = 20
	heard := make(chan told, 10*workers) // none waits: a worker may lose its lease before it is cut off, and get another task
	for range workers {
		p, url := newProxy(t, r.url)
		client := r.open(scheduler.Config{DatabaseURL: url, MaxConns: 2, PollOnly: true})
		registry, started := worker.NewRegistry(), make(chan none, 10)
		worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
			started <- none{}
			<-ctx.Done()
			at, x := time.Now(), told{cause: context.Cause(ctx)}
			var ms int64
			x.err = r.db.QueryRow(context.WithoutCancel(ctx), `select (extract(epoch from w.seen_at + w.ttl_ms * interval '1 ms' - clock_timestamp()) * 1000)::bigint
				from scheduler.tasks t join scheduler.workers w on w.id = t.worker_id where t.id = $1`, task.ID).Scan(&ms)
			x.left = time.Duration(ms)*time.Millisecond + time.Since(at) // which the question took
			if errors.Is(x.err, pgx.ErrNoRows) {                         // it has run out, and the task was rescued
				x.err, x.left = nil, 0
			}
			heard <- x
			return none{}, ctx.Err()
		})
		r.submit(scheduler.NewTask{Kind: "k"})
		x := r.startOn(client, registry, worker.Config{Concurrency: 1, Heartbeat: heartbeat, TTL: ttl, Poll: 50 * time.Millisecond, DrainTimeout: -1})
		receive(t, started, "the handler")
		go func() {
			_ = pause(context.WithoutCancel(t.Context()), rand.N(2*heartbeat))
			p.freeze()
		}()
		t.Cleanup(func() { // all at once, before each is waited for
			x.Abort()
			p.thaw()
		})
	}
	var all []told
	for range workers {
		all = append(all, receive(t, heard, "the handlers to be told"))
	}
	still := stood()
	for _, x := range all {
		if !errors.Is(x.cause, scheduler.ErrLeaseLost) || x.err != nil || x.left+still <= 0 {
			t.Errorf("told %s before the lease ran out, cause %v (%v); this process stood still for %s", x.left, x.cause, x.err, still)
		}
	}
}

// standsStill returns what says for how long this process, or most of it, got no time of the processor since: nobody is told anything
// meanwhile.
func standsStill(t *testing.T) (stood func() time.Duration) {
	const tick, late = 10 * time.Millisecond, 50 * time.Millisecond
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	sum := make(chan time.Duration, 1)
	go func() { // ends with ctx
		var still time.Duration
		for over := false; !over; {
			began := time.Now()
			over = pause(ctx, tick) != nil
			if took := time.Since(began); took > late {
				still += took
			}
		}
		sum <- still
	}()
	t.Cleanup(stop)
	return func() time.Duration { stop(); return <-sum }
}

// Heartbeats vanish while a lease is on its way; its answer comes when the lease may be over: no handler begins.
func TestLeaseThatIsAnsweredTooLate(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	began := make(chan none, 10)
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { began <- none{}; return none{}, nil })
	id := r.submit(scheduler.NewTask{Kind: "k"})
	cutoffs := func() int { return strings.Count(r.logs.String(), "stopped all handlers") }
	leased, before := false, 0 // guarded by mu
	var mu sync.Mutex
	p.decide(func(statement string) fate {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasPrefix(statement, "-- heartbeat:") && leased:
			return hang
		case strings.HasPrefix(statement, "-- lease:"):
			if !leased {
				leased, before = true, cutoffs() // there was one if it had stood still for so long
			}
			return late
		}
		return pass
	})
	r.start(registry, worker.Config{Heartbeat: 500 * time.Millisecond, DrainTimeout: -1})
	defer p.cut()
	await(t, "the lease", func() bool { return r.task(id).Attempt > 0 })
	await(t, "the cutoff after it", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return cutoffs() > before
	})
	p.decide(func(statement string) fate { // the next lease is not its
		switch {
		case strings.HasPrefix(statement, "-- heartbeat:"):
			return hang
		case strings.HasPrefix(statement, "-- lease:"):
			return breakOff
		}
		return pass
	})
	p.deliver()
	other := worker.NewRegistry()
	worker.Handle(other, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	r.startOn(r.client, other, worker.Config{})
	if task := r.final(id); task.State != scheduler.Completed || task.Attempt < 2 || len(began) != 0 {
		t.Errorf("%s at attempt %d; %d handlers began too late", task.State, task.Attempt, len(began))
	}
}

// The connections to the database hang for longer than the TTL. When they are back, tasks have gone elsewhere, nothing that
// the first worker still says is written, and it works again under a new id.
func TestWorkerThatIsCutOffComesBack(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	r.withEffects()
	began, cut, done := make(chan scheduler.WorkerID, 10), make(chan none), make(chan none, 10)
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		began <- scheduler.WorkerID{}
		if task.Attempt > 1 {
			return none{}, nil
		}
		<-cut
		_ = task.Report(1, 1, "pending when the lease was lost")
		task.Log("pending when the lease was lost")
		<-ctx.Done()
		done <- none{}
		return none{}, nil
	})
	r.start(registry, worker.Config{Heartbeat: 200 * time.Millisecond, TTL: 6 * time.Second}) // most of which may pass until it is cut off
	id := r.submit(scheduler.NewTask{Kind: "k"})
	receive(t, began, "the first attempt")
	first := read[string](r, `select worker_id::text from scheduler.tasks where id = $1`, id)
	p.freeze()
	close(cut)
	receive(t, done, "the handler's end")
	other := worker.NewRegistry()
	worker.Handle(other, "k", func(context.Context, *worker.Task[none]) (string, error) { return "elsewhere", nil })
	elsewhere := r.startOn(r.client, other, worker.Config{})
	task := r.final(id)
	if task.State != scheduler.Completed || task.Attempt != 2 || string(task.Result) != `"elsewhere"` || task.Crashes != 1 {
		t.Errorf("%s at attempt %d, result %s, %d crashes", task.State, task.Attempt, task.Result, task.Crashes)
	}
	if err := elsewhere.stop(); err != nil {
		t.Error(err)
	}
	p.thaw()
	again := r.submit(scheduler.NewTask{Kind: "k"})
	receive(t, began, "an attempt after the return")
	if second := read[string](r, `select worker_id::text from scheduler.tasks where id = $1`, again); second == first {
		t.Error("it came back under the same id")
	}
	if task := r.task(id); task.State != scheduler.Completed || task.ProgressCurrent != nil || string(task.Result) != `"elsewhere"` {
		t.Errorf("the lost attempt wrote: %+v", task)
	}
	if lines := r.lines(id, "log"); len(lines) != 0 {
		t.Errorf("the lost attempt wrote %q", lines)
	}
}

// What a lost attempt had reported does not harm the attempts of the worker's next life.
func TestReportsOfALostLifeHarmNoOther(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, scheduler.Config{MaxCrashes: 1}) // a deaf task is not tried again
	registry := worker.NewRegistry()
	deaf, hear := make(chan none, 100), make(chan none)
	worker.Handle(registry, "deaf", func(_ context.Context, task *worker.Task[none]) (none, error) {
		deaf <- none{}
		for n := int64(0); ; n++ {
			select {
			case <-hear:
				return none{}, nil
			case <-time.After(time.Millisecond):
				task.Log("line of the dead")
				_ = task.Report(n, 0, "report of the dead") // also between the loss and its notice
			}
		}
	})
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		for i := range 200 {
			task.Log("%d", i)
			if err := task.Report(int64(i), 200, ""); err != nil {
				return none{}, err
			}
			if err := pause(ctx, time.Millisecond); err != nil {
				return none{}, err
			}
		}
		return none{}, nil
	})
	r.start(registry, worker.Config{Concurrency: 40, Heartbeat: 100 * time.Millisecond, TTL: 30 * time.Second, DrainTimeout: -1})
	defer close(hear)
	for range 5 {
		r.submit(scheduler.NewTask{Kind: "deaf", MaxAttempts: 1})
		receive(t, deaf, "the deaf handler")
		r.exec(`delete from scheduler.workers`)
		var ids []scheduler.TaskID
		for range 10 {
			ids = append(ids, r.submit(scheduler.NewTask{Kind: "k"}))
		}
		for _, id := range ids {
			task, lines := r.final(id), r.lines(id, "log")
			if task.State != scheduler.Completed || task.Attempt != 1 || number(task.ProgressCurrent) != 199 || len(lines) != 200 {
				t.Errorf("%s at attempt %d, %d of 199, %d of 200 lines", task.State, task.Attempt, number(task.ProgressCurrent), len(lines))
			}
		}
	}
}

// Somebody deletes the worker's row: its handlers are told, the task goes elsewhere, and the worker registers anew.
func TestWorkerRowDeletedByHand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	begun, causes := make(chan none), make(chan error, 1)
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		if task.Attempt > 1 {
			return none{}, nil
		}
		close(begun)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return none{}, ctx.Err()
	})
	r.start(registry, worker.Config{Heartbeat: 100 * time.Millisecond, TTL: patience})
	id := r.submit(scheduler.NewTask{Kind: "k"})
	receive(t, begun, "the handler")
	r.exec(`delete from scheduler.workers`)
	if cause := receive(t, causes, "the cause"); !errors.Is(cause, scheduler.ErrLeaseLost) {
		t.Errorf("cause %v", cause)
	}
	if task := r.final(id); task.State != scheduler.Completed || task.Attempt != 2 || task.Failures != 0 {
		t.Errorf("%s at attempt %d with %d failures", task.State, task.Attempt, task.Failures)
	}
	if n := read[int](r, `select count(*) from scheduler.workers`); n != 1 {
		t.Errorf("%d workers", n)
	}
}

// A task whose workers die, one after the other, is failed by those who find it.
func TestWorkersLostUntilItGivesUp(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, scheduler.Config{PollOnly: true, Poll: 50 * time.Millisecond}) // the dead are found soon
	registry := worker.NewRegistry()
	began, hear := make(chan none, 10), make(chan none)
	defer close(hear)
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { // deaf, as the dead are
		began <- none{}
		<-hear
		return none{}, nil
	})
	r.start(registry, worker.Config{Heartbeat: 100 * time.Millisecond, TTL: patience, Poll: 50 * time.Millisecond, DrainTimeout: -1})
	id := r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 1})
	for range 3 {
		receive(t, began, "an attempt")
		r.exec(`delete from scheduler.workers`)
	}
	task := r.final(id)
	if task.State != scheduler.Failed || text(task.ErrorCode) != "worker_lost" || task.Crashes != 3 || task.Failures != 0 {
		t.Errorf("%s, %s, %d crashes, %d failures", task.State, text(task.ErrorCode), task.Crashes, task.Failures)
	}
	for i, a := range r.attempts(id) {
		if a.Attempt != i+1 || a.Outcome != "crashed" || text(a.ErrorCode) != "worker_lost" {
			t.Errorf("attempt %+v", a)
		}
	}
}
