package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// Each way to end an attempt is counted once.
func TestAttemptsAreCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{DatabaseURL: r.url})
	registry := worker.NewRegistry()
	worker.Handle(registry, "ok", func(context.Context, *worker.Task[struct{}]) (any, error) { return nil, nil })
	worker.Handle(registry, "log", func(_ context.Context, task *worker.Task[struct{}]) (any, error) { return 1, task.Report(1, 2, "half") })
	worker.Handle(registry, "tx", func(ctx context.Context, task *worker.Task[struct{}]) (any, error) {
		return nil, pgx.BeginFunc(ctx, r.db, func(tx pgx.Tx) error { return task.CompleteTx(ctx, tx, nil) })
	})
	worker.Handle(registry, "fail", func(context.Context, *worker.Task[struct{}]) (any, error) { return nil, errors.New("no") })
	running := r.startOn(client, registry, worker.Config{})
	var last []scheduler.TaskID
	for _, kind := range []string{"ok", "ok", "log", "tx", "fail"} {
		last = append(last, r.submit(scheduler.NewTask{Kind: kind, MaxAttempts: 3, Backoff: []time.Duration{0}}))
	}
	for _, id := range last {
		r.final(id)
	}
	if err := running.stop(); err != nil {
		t.Fatal(err)
	}
	client.Close()
	list, err := r.client.Stats(t.Context(), scheduler.StatsFilter{Day: true})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][3]int64{}
	for _, s := range list {
		sum := got[s.Kind]
		got[s.Kind] = [3]int64{sum[0] + s.Completed, sum[1] + s.Failed, sum[2] + s.Dead}
	}
	for kind, want := range map[string][3]int64{"ok": {2, 0, 0}, "log": {1, 0, 0}, "tx": {1, 0, 0}, "fail": {0, 2, 1}} {
		if got[kind] != want {
			t.Errorf("%s: completed, failed, dead %v, want %v", kind, got[kind], want)
		}
	}
}
