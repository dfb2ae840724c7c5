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

// within runs f in a transaction of the handler's own and commits it, as a handler would.
func (r *rig) within(ctx context.Context, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, r.db, f)
}

// withEffects makes a table for what handlers do.
func (r *rig) withEffects() *rig {
	r.t.Helper()
	r.exec(`create table effects (task_id uuid not null, attempt integer not null, note text, unique (task_id, attempt))`)
	return r
}

func (r *rig) effects(id scheduler.TaskID) int {
	r.t.Helper()
	return read[int](r, `select count(*) from effects where task_id = $1`, id)
}

func effect(ctx context.Context, tx pgx.Tx, info worker.Info) error {
	_, err := tx.Exec(ctx, `insert into effects (task_id, attempt) values ($1, $2)`, info.ID, info.Attempt)
	return err
}

func TestCompleteTx(t *testing.T) {
	t.Parallel()
	type want struct {
		state   scheduler.State
		code    string
		effects int
		result  string
		message string // of the progress
	}
	type handler = func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error)
	for _, c := range []struct {
		name string
		run  handler
		want want
	}{
		{"commit", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			return "not stored", r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, map[string]int{"n": 1}))
			})
		}, want{scheduler.Completed, "", 1, `{"n": 1}`, ""}},
		{"commit without a result", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			return "not stored", r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, nil))
			})
		}, want{scheduler.Completed, "", 1, "", ""}},
		{"report before, line before", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			task.Log("a line")
			if err := task.Report(1, 1, "last report"); err != nil {
				return "", err
			}
			return "", r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, nil))
			})
		}, want{scheduler.Completed, "", 1, "", "last report"}},
		{"ReportTx before, in the same transaction", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			return "", r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.ReportTx(ctx, tx, 9, 9, "inside"), task.CompleteTx(ctx, tx, nil))
			})
		}, want{scheduler.Completed, "", 1, "", "inside"}},
		{"rollback, and nil", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			task.Log("a line")
			_ = r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.ReportTx(ctx, tx, 1, 1, "rolled back"), task.CompleteTx(ctx, tx, nil), errBoom)
			})
			return "", nil
		}, want{scheduler.Failed, "not_committed", 0, "", ""}},
		{"rollback, and an error", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			return "", r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, nil), errBoom)
			})
		}, want{scheduler.Failed, "error", 0, "", ""}},
		{"rollback, and a snooze", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			_ = r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, nil), errBoom)
			})
			return "", worker.Snooze(time.Hour)
		}, want{scheduler.Scheduled, "", 0, "", ""}},
		{"error after the commit", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			return "", errors.Join(errBoom, r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, 1))
			}))
		}, want{scheduler.Completed, "", 1, "1", ""}},
		{"panic after the commit", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			err := r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, 1))
			})
			panic(err)
		}, want{scheduler.Completed, "", 1, "1", ""}},
		{"a second try after a rollback", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			_ = r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, 1), errBoom)
			})
			return "", r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, 2))
			})
		}, want{scheduler.Completed, "", 1, "2", ""}},
		{"a result that cannot be stored, then a plain one", func(ctx context.Context, r *rig, task *worker.Task[none]) (string, error) {
			err := r.within(ctx, func(tx pgx.Tx) error { return task.CompleteTx(ctx, tx, "\x00") })
			if err == nil {
				return "", errors.New("a NUL was taken")
			}
			return "stored", nil
		}, want{scheduler.Completed, "", 0, `"stored"`, ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t).withEffects()
			registry := worker.NewRegistry()
			worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (string, error) { return c.run(ctx, r, task) })
			x := r.start(registry, worker.Config{})
			id := r.submit(scheduler.NewTask{Kind: "k", MaxAttempts: 1})
			r.reach(id, c.want.state)
			if err := x.stop(); err != nil { // whatever the worker still wanted to write is written
				t.Error(err)
			}
			task := r.task(id)
			got := want{task.State, text(task.ErrorCode), r.effects(id), string(task.Result), text(task.ProgressMessage)}
			if got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
			if c.name == "report before, line before" || c.name == "rollback, and nil" {
				if lines := r.lines(id, "log"); len(lines) != 1 {
					t.Errorf("lines %q", lines)
				}
			}
		})
	}
}

// An attempt whose lease was given to another: every verb is refused, and its business rows roll back.
func TestCompleteTxOfALostLease(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, scheduler.Config{PollOnly: true}).withEffects()
	registry := worker.NewRegistry()
	lost, errs, cause := make(chan none), make(chan error, 2), make(chan error, 1)
	worker.Handle(registry, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		if task.Attempt > 1 {
			return none{}, r.within(ctx, func(tx pgx.Tx) error {
				return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, nil))
			})
		}
		<-lost
		free := context.WithoutCancel(ctx)
		errs <- r.within(free, func(tx pgx.Tx) error {
			return errors.Join(effect(free, tx, task.Info), task.ReportTx(free, tx, 1, 1, "zombie"))
		})
		errs <- r.within(free, func(tx pgx.Tx) error {
			return errors.Join(effect(free, tx, task.Info), task.CompleteTx(free, tx, "zombie"))
		})
		cause <- context.Cause(ctx)
		return none{}, nil
	})
	r.start(registry, worker.Config{Heartbeat: time.Hour}) // hears of its death only by its own writes
	id := r.submit(scheduler.NewTask{Kind: "k"})
	r.reach(id, scheduler.Running)
	r.exec(`update scheduler.workers set seen_at = '2000-01-01'`)
	await(t, "the rescue", func() bool { return r.task(id).State == scheduler.Ready })
	close(lost)
	for range 2 {
		if err := receive(t, errs, "an error"); !errors.Is(err, scheduler.ErrLeaseLost) {
			t.Errorf("error %v", err)
		}
	}
	if err := receive(t, cause, "the cause"); !errors.Is(err, scheduler.ErrLeaseLost) {
		t.Errorf("cause %v", err)
	}
	other := worker.NewRegistry()
	worker.Handle(other, "k", func(ctx context.Context, task *worker.Task[none]) (none, error) {
		return none{}, r.within(ctx, func(tx pgx.Tx) error {
			return errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, nil))
		})
	})
	r.start(other, worker.Config{})
	task := r.final(id)
	if task.State != scheduler.Completed || task.Attempt != 2 || r.effects(id) != 1 || text(task.ProgressMessage) != "" {
		t.Errorf("%s at attempt %d, %d effects, progress %q", task.State, task.Attempt, r.effects(id), text(task.ProgressMessage))
	}
}
