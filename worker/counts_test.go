package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// Every attempt is counted once, by how it ended.
func TestCounts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registry := worker.NewRegistry()
	handle := func(kind string, run func(ctx context.Context, task *worker.Task[none]) error) {
		worker.Handle(registry, kind, func(ctx context.Context, task *worker.Task[none]) (none, error) { return none{}, run(ctx, task) })
	}
	started := make(chan struct{}, 10)
	hang := func(ctx context.Context, _ *worker.Task[none]) error {
		started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	handle("ok", func(context.Context, *worker.Task[none]) error { return nil })
	handle("reported", func(_ context.Context, task *worker.Task[none]) error { return task.Report(1, 1, "") })
	handle("tx", func(ctx context.Context, task *worker.Task[none]) error {
		return pgx.BeginFunc(ctx, r.db, func(tx pgx.Tx) error { return task.CompleteTx(ctx, tx, 1) })
	})
	handle("uncommitted", func(ctx context.Context, task *worker.Task[none]) error {
		_ = pgx.BeginFunc(ctx, r.db, func(tx pgx.Tx) error { // rolled back, as is wanted
			return errors.Join(task.CompleteTx(ctx, tx, 1), errors.New("no"))
		})
		return nil
	})
	handle("bad", func(context.Context, *worker.Task[none]) error { return errors.New("bad") })
	handle("later", func(_ context.Context, task *worker.Task[none]) error {
		if task.Attempt == 1 {
			return worker.Snooze(time.Millisecond)
		}
		return nil
	})
	handle("cancelled", hang)
	handle("released", hang)
	handle("lost", func(ctx context.Context, task *worker.Task[none]) error {
		_, err := r.db.Exec(ctx, "update scheduler.tasks set attempt = attempt + 1 where id = $1", task.ID)
		return err
	})
	x := r.start(registry, worker.Config{DrainTimeout: -1})
	for _, kind := range []string{"ok", "reported", "tx", "later"} {
		r.final(r.submit(scheduler.NewTask{Kind: kind}))
	}
	for _, kind := range []string{"bad", "uncommitted"} {
		r.final(r.submit(scheduler.NewTask{Kind: kind, MaxAttempts: 2, Backoff: []time.Duration{time.Millisecond}}))
	}
	id := r.submit(scheduler.NewTask{Kind: "cancelled"})
	receive(t, started, "the handler")
	if _, err := r.client.Cancel(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	r.final(id)
	r.submit(scheduler.NewTask{Kind: "lost"})
	await(t, "the loss", func() bool { return x.Counts().LostLeases == 1 })
	r.submit(scheduler.NewTask{Kind: "released"})
	receive(t, started, "the handler")
	await(t, "one to run", func() bool { return x.Counts().Running == 1 }) // the lost one may be about to go
	if n := x.Counts(); n.Slots != 10 {
		t.Errorf("%+v", n)
	}
	if err := x.stop(); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[worker.Outcome]uint64{"ok": {worker.Completed: 1}, "reported": {worker.Completed: 1}, "tx": {worker.Completed: 1},
		"later": {worker.Snoozed: 1, worker.Completed: 1}, "bad": {worker.Retried: 1, worker.Failed: 1},
		"uncommitted": {worker.Retried: 1, worker.Failed: 1}, "cancelled": {worker.Cancelled: 1}, "lost": {worker.Lost: 1}, "released": {worker.Released: 1}}
	got := map[string]map[worker.Outcome]uint64{}
	for _, l := range x.Counts().Lanes {
		got[l.Kind] = map[worker.Outcome]uint64{}
		ended, ran, waited := uint64(0), uint64(0), uint64(0)
		for how, n := range l.Outcomes {
			if n > 0 {
				got[l.Kind][how] = n
			}
			ended += n
		}
		for i := range l.Run.Counts {
			ran, waited = ran+l.Run.Counts[i], waited+l.Wait.Counts[i]
		}
		if ran != ended || waited != ended {
			t.Errorf("%s: %d ended, %d ran, %d waited", l.Kind, ended, ran, waited)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
