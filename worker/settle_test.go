package worker_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// newProxiedRig is a rig whose workers go through a proxy.
func newProxiedRig(t *testing.T, config scheduler.Config) (*rig, *proxy) {
	t.Helper()
	r := newRig(t)
	p, url := newProxy(t, r.url)
	config.DatabaseURL = url
	r.works = r.open(config)
	return r, p
}

// every decides for each n-th statement of the name.
func (p *proxy) every(n int, name string, f fate) (met func() int) {
	var mu sync.Mutex
	seen, count := 0, 0
	p.decide(func(statement string) fate {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(statement, "-- "+name+":") {
			return pass
		}
		if seen++; seen%n != 0 {
			return pass
		}
		count++
		return f
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return count
	}
}

// The answer to every second completion is lost: the tasks are completed all the same, and none runs twice.
func TestCompletionsWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	r.withEffects()
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (int, error) {
		_, err := r.db.Exec(ctx, `insert into effects (task_id, attempt) values ($1, $2)`, task.ID, task.Attempt)
		return task.Attempt, err
	})
	met := p.every(2, "complete", loseAnswer)
	const tasks, slots = 400, 20
	r.start(registry, worker.Config{Concurrency: slots})
	for range tasks {
		r.submit(scheduler.NewTask{Kind: "k"})
	}
	await(t, "all completed", func() bool {
		return read[int](r, `select count(*) from scheduler.tasks where state = 'completed' and result = '1'`) == tasks
	})
	if n := read[int](r, `select count(*) from effects`); n != tasks {
		t.Errorf("%d effects of %d tasks", n, tasks)
	}
	if n := read[int](r, `select count(*) from scheduler.attempts`); n != 0 {
		t.Errorf("%d attempts failed", n)
	}
	if met() < tasks/(2*slots)/2 { // no more outcomes than twice the slots wait for one statement
		t.Errorf("only %d answers were lost", met())
	}
}

// Each of the other verbs that end an attempt: the answer to its first try is lost, and it is not carried out twice.
func TestOutcomesWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verb     string
		err      error
		state    scheduler.State
		outcome  string
		failures int
	}{
		{"fail", errBoom, scheduler.Scheduled, "failed", 1},
		{"fail", worker.Permanent(errBoom), scheduler.Failed, "failed", 1},
		{"snooze", worker.Snooze(time.Hour), scheduler.Scheduled, "snoozed", 0},
	} {
		t.Run(c.verb+" "+string(c.state), func(t *testing.T) {
			t.Parallel()
			r, p := newProxiedRig(t, scheduler.Config{})
			registry := worker.NewRegistry()
			worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, c.err })
			met := p.doom(c.verb, 1, loseAnswer)
			x := r.start(registry, worker.Config{})
			id := r.submit(scheduler.NewTask{Kind: "k", Backoff: []time.Duration{time.Hour}})
			r.reach(id, c.state)
			if err := x.stop(); err != nil {
				t.Error(err)
			}
			task, attempts := r.task(id), r.attempts(id)
			if task.State != c.state || task.Failures != c.failures || len(attempts) != 1 || attempts[0].Outcome != c.outcome || met() != 1 {
				t.Errorf("%s with %d failures, attempts %+v, %d answers lost", task.State, task.Failures, attempts, met())
			}
			if strings.Contains(r.logs.String(), "lease lost") {
				t.Error("it was taken for a lost lease")
			}
		})
	}
}

// The handler's own connection breaks after the commit of CompleteTx and before the answer: the handler sees an error, and
// the task is completed, once.
func TestCommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t).withEffects()
	p, url := newProxy(t, r.url)
	own := r.pool(url)
	registry := worker.NewRegistry()
	var errs atomic.Int64
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		err := pgx.BeginFunc(ctx, own, func(tx pgx.Tx) error {
			return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, nil))
		})
		if err != nil {
			errs.Add(1)
		}
		return none{}, err
	})
	p.decide(func(statement string) fate {
		if statement == "commit" && rand.N(2) == 0 {
			return loseAnswer
		}
		return pass
	})
	x := r.start(registry, worker.Config{Concurrency: 5})
	const tasks = 100
	for range tasks {
		r.submit(scheduler.NewTask{Kind: "k"})
	}
	await(t, "all completed", func() bool {
		return read[int](r, `select count(*) from scheduler.tasks where state = 'completed' and attempt = 1`) == tasks
	})
	if err := x.stop(); err != nil {
		t.Error(err)
	}
	if n, failed := read[int](r, `select count(*) from effects`), read[int](r, `select count(*) from scheduler.attempts`); n != tasks || failed != 0 {
		t.Errorf("%d effects of %d tasks, %d failed attempts", n, tasks, failed)
	}
	if errs.Load() == 0 || int(errs.Load()) != p.answersLost() {
		t.Errorf("handlers saw %d errors, %d answers were lost", errs.Load(), p.answersLost())
	}
	if strings.Contains(r.logs.String(), "lease lost") {
		t.Error("it was taken for a lost lease")
	}
}

// The statement hangs, and its connection never breaks: the outcome is written over another one in the end.
func TestOutcomeWhoseStatementHangs(t *testing.T) {
	t.Parallel()
	for verb, c := range map[string]struct {
		err   error
		state scheduler.State
	}{
		"complete": {nil, scheduler.Completed},
		"fail":     {worker.Permanent(errBoom), scheduler.Failed},
	} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			r, p := newProxiedRig(t, scheduler.Config{})
			registry := worker.NewRegistry()
			worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, c.err })
			met := p.doom(verb, 2, hang)
			defer p.cut()
			r.start(registry, worker.Config{})
			first := r.submit(scheduler.NewTask{Kind: "k"})
			await(t, "a statement that hangs", func() bool { return met() > 0 })
			second := r.submit(scheduler.NewTask{Kind: "k"})
			await(t, "another", func() bool { return met() == 2 })
			for _, id := range []scheduler.TaskID{first, second, r.submit(scheduler.NewTask{Kind: "k"})} {
				if task := r.final(id); task.State != c.state || task.Attempt != 1 {
					t.Errorf("%s at attempt %d", task.State, task.Attempt)
				}
			}
		})
	}
}

// While no outcome can be written, not more tasks begin than there are slots for outcomes beside those for handlers: what is
// not written would be repeated after a crash.
func TestOutcomesThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	began := make(chan none, 1000)
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { began <- none{}; return none{}, nil })
	p.doom("complete", 1000, hang)
	defer p.cut()
	const slots = 5
	for range 20 * slots {
		r.submit(scheduler.NewTask{Kind: "k"})
	}
	r.start(registry, worker.Config{Concurrency: slots, Poll: 20 * time.Millisecond, DrainTimeout: -1})
	await(t, "all that may begin", func() bool { return len(began) >= 2*slots })
	if err := pause(t.Context(), 300*time.Millisecond); err != nil { // fifteen polls
		t.Fatal(err)
	}
	if len(began) != 2*slots {
		t.Errorf("%d tasks began with %d slots", len(began), slots)
	}
}

// The answer to every third lease is lost: what it took is handed back and runs.
func TestLeasesWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	r.withEffects()
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		_, err := r.db.Exec(ctx, `insert into effects (task_id, attempt) values ($1, $2)`, task.ID, task.Attempt)
		return none{}, err
	})
	met := p.every(3, "lease", loseAnswer)
	r.start(registry, worker.Config{Concurrency: 5, Poll: 50 * time.Millisecond})
	const tasks = 200
	for range tasks {
		r.submit(scheduler.NewTask{Kind: "k"})
	}
	await(t, "all completed", func() bool {
		return read[int](r, `select count(*) from scheduler.tasks where state = 'completed'`) == tasks
	})
	if n := read[int](r, `select count(*) from effects`); n != tasks {
		t.Errorf("%d effects of %d tasks", n, tasks)
	}
	if n := read[int](r, `select count(*) from scheduler.attempts where outcome <> 'released'`); n != 0 {
		t.Errorf("%d attempts did not end as released", n)
	}
	if met() < 3 {
		t.Errorf("only %d answers were lost", met())
	}
}

// The answer to the last lease before the end is lost: what it took is handed back all the same, and burns nothing.
func TestLostLeaseAtTheEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*running) error{
		"drain": func(x *running) error { return x.stop() },
		"abort": func(x *running) error { x.Abort(); return x.wait() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, p := newProxiedRig(t, scheduler.Config{})
			registry := worker.NewRegistry()
			worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
			id := r.submit(scheduler.NewTask{Kind: "k"})
			met := p.doom("lease", 1000, loseAnswer)
			x := r.start(registry, worker.Config{})
			await(t, "a lost answer", func() bool { return met() > 0 })
			_ = end(x)
			task, attempts := r.task(id), r.attempts(id)
			if task.State != scheduler.Ready || task.Crashes != 0 || task.Failures != 0 || len(attempts) != task.Attempt {
				t.Errorf("%s with %d crashes, attempts %+v", task.State, task.Crashes, attempts)
			}
			r.expectNoTrace()
		})
	}
}

// A task that was leased before in one batch with a task that still runs, and whose next lease is never answered.
func TestLostLeaseOfATaskThatAnOlderLeaseNames(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	release := make(chan none)
	worker.Handle(registry, "long", func(context.Context, *worker.Task[none]) (none, error) { <-release; return none{}, nil })
	worker.Handle(registry, "again", func(_ context.Context, task *worker.Task[none]) (none, error) {
		if task.Attempt > 1 {
			return none{}, nil
		}
		p.decide(func(statement string) fate { // loses the lease that takes it again
			if strings.HasPrefix(statement, "-- lease:") && p.answersLost() == 0 {
				return loseRows
			}
			return pass
		})
		return none{}, errBoom
	})
	long, again := r.submit(scheduler.NewTask{Kind: "long"}), r.submit(scheduler.NewTask{Kind: "again", Backoff: []time.Duration{0}})
	r.start(registry, worker.Config{Poll: 50 * time.Millisecond}) // both are leased by its first statement
	task := r.final(again)
	if task.State != scheduler.Completed || task.Attempt != 3 {
		t.Errorf("%s at attempt %d", task.State, task.Attempt)
	}
	close(release)
	if task := r.final(long); task.State != scheduler.Completed || task.Attempt != 1 {
		t.Errorf("%s at attempt %d", task.State, task.Attempt)
	}
}

// A worker that was declared dead, and does not hear that it is registered anew.
func TestRegistrationWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	r, p := newProxiedRig(t, scheduler.Config{})
	registry := worker.NewRegistry()
	worker.Handle(registry, "k", func(context.Context, *worker.Task[none]) (none, error) { return none{}, nil })
	r.start(registry, worker.Config{Heartbeat: 500 * time.Millisecond, TTL: patience})
	r.final(r.submit(scheduler.NewTask{Kind: "k"}))
	met := p.doom("register", 2, loseAnswer)
	r.exec(`delete from scheduler.workers`)
	await(t, "two lost answers", func() bool { return met() == 2 })
	if task := r.final(r.submit(scheduler.NewTask{Kind: "k"})); task.State != scheduler.Completed {
		t.Errorf("%s", task.State)
	}
	if n := read[int](r, `select count(*) from scheduler.workers`); n != 1 {
		t.Errorf("%d workers are registered", n)
	}
}
