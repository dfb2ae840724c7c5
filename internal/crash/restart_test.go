//go:build unix

package crash

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/migrations"
	"github.com/pgscheduler/scheduler/scheduler"
)

// PostgreSQL goes away under load, politely and by kill -9, and comes back: workers and submitters go on by themselves, and
// no task whose submit was acknowledged is missing.
func TestPostgresRestartedUnderLoad(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, nil)
	url := server.URL("scheduler")
	if _, err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	l := openLedger(t, url)
	for n := range 2 {
		start(t, orders{URL: url, Name: fmt.Sprintf("worker-%d", n), Concurrency: 20, MaxCrashes: 1000})
	}
	var acknowledged atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var submitters sync.WaitGroup
	for n := range 4 {
		submitters.Go(func() { l.keepSubmitting(ctx, n, &acknowledged) })
	}
	// done counts effects; it does not mind when nobody answers.
	done := func() (n int64) {
		if l.db.QueryRow(ctx, `select count(*) from ledger.effects`).Scan(&n) != nil {
			return 0
		}
		return n
	}
	for round, end := range []func() error{server.Halt, server.Kill, server.Halt, server.Kill, server.Kill} {
		before := done()
		await(t, "load", func() bool { return done() >= before+200 })
		if err := end(); err != nil {
			t.Fatal(err)
		}
		had := acknowledged.Load()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		await(t, "a submit", func() bool { return acknowledged.Load() > had })
		submits := time.Since(back)
		var effects int64
		await(t, "the count of effects", func() bool { effects = done(); return effects > 0 })
		await(t, "an effect", func() bool { return done() > effects })
		works := time.Since(back)
		t.Logf("round %d: after its return, submits went on in %s, work in %s", round+1, submits.Round(time.Millisecond), works.Round(time.Millisecond))
		if max(submits, works) > 30*time.Second {
			t.Errorf("round %d: recovery took %s and %s", round+1, submits, works)
		}
	}
	stop()
	submitters.Wait()
	l.book()
	await(t, "the end of all tasks", func() bool {
		return read[int](l, `select count(*) from scheduler.tasks where state <> 'completed'`) == 0
	})
	t.Logf("%d submits were acknowledged; attempts besides the completing ones: %s", acknowledged.Load(), l.outcomes())
	l.mustBalance()
}

// keepSubmitting enters tasks one by one until ctx ends. After an error it submits the same again, under the same key.
func (l *ledger) keepSubmitting(ctx context.Context, submitter int, acknowledged *atomic.Int64) {
	for n := 0; ; n++ {
		task := scheduler.NewTask{Kind: "tx", MaxAttempts: 1000, Backoff: []time.Duration{100 * time.Millisecond}, Payload: job{Milliseconds: 5},
			IdempotencyKey: fmt.Sprintf("%d-%d", submitter, n)}
		for {
			s, err := l.client.Submit(context.WithoutCancel(ctx), task)
			if err == nil {
				l.accept(s.ID)
				acknowledged.Add(1)
				break
			}
			_ = pause(context.WithoutCancel(ctx), 20*time.Millisecond)
		}
		if pause(ctx, 5*time.Millisecond) != nil {
			return
		}
	}
}

// Workers are replaced twenty times, one after the other, with SIGTERM and less time than their tasks take: what is handed
// back burns nothing, and nothing is lost.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	l := openLedger(t, pgtest.DB(t))
	const crew, slots, restarts = 3, 5, 20
	batch := make([]scheduler.NewTask, crew*slots)
	for i := range batch {
		batch[i] = scheduler.NewTask{Kind: "tx", MaxAttempts: 1, Payload: job{Milliseconds: 400 + 200*i/len(batch)}}
	}
	tasks := 0
	atWork := func(name string) bool { // and there always is more to do
		if read[int](l, `select count(*) from scheduler.tasks where state = 'ready'`) < len(batch) {
			tasks += len(l.submit(batch...))
		}
		return read[int](l, `select count(*) from scheduler.tasks t join scheduler.workers w on w.id = t.worker_id where w.name = $1 and t.state = 'running'`, name) > 0
	}
	var workers []*process
	for n := range crew {
		workers = append(workers, start(t, orders{URL: l.url, Name: fmt.Sprintf("rolling-%d", n), Concurrency: slots, Drain: 50 * time.Millisecond}))
	}
	for n := range restarts {
		old := workers[n%crew]
		await(t, "a worker at work", func() bool { return atWork(old.orders.Name) })
		old.signal(syscall.SIGTERM)
		if code := old.wait(); code != 0 {
			t.Errorf("a worker ended with code %d on SIGTERM", code)
		}
		workers[n%crew] = old.again()
	}
	await(t, "the end of all tasks", func() bool {
		return read[int](l, `select count(*) from scheduler.tasks where state <> 'completed'`) == 0
	})
	t.Logf("%d tasks over %d restarts; attempts besides the completing ones: %s", tasks, restarts, l.outcomes())
	if n := read[int](l, `select sum(failures + crashes)::integer from scheduler.tasks`); n != 0 {
		t.Errorf("%d failures and crashes were counted", n)
	}
	if n := read[int](l, `select count(*) from scheduler.attempts where outcome = 'released'`); n < restarts {
		t.Errorf("only %d attempts were handed back", n)
	}
	if n := read[int](l, `select count(*) from scheduler.attempts where outcome <> 'released'`); n != 0 {
		t.Errorf("%d attempts ended otherwise than handed back", n)
	}
	l.mustBalance()
}
