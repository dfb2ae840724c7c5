//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// work is a worker process. It returns the exit code.
func work(told string) int {
	go func() { // until the process ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3) // the test is gone
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, told); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, told string) error {
	var o orders
	if err := json.Unmarshal([]byte(told), &o); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, err := scheduler.Open(ctx, scheduler.Config{DatabaseURL: o.URL, MaxCrashes: o.MaxCrashes, Logger: logger})
	if err != nil {
		return err
	}
	defer client.Close()
	pool, err := pgxpool.New(ctx, o.URL)
	if err != nil {
		return err
	}
	defer pool.Close()
	registry := worker.NewRegistry()
	(&hands{pool: pool, gate: client}).register(registry)
	if o.Cmd != nil {
		children, err := worker.HandleCommand(ctx, registry, worker.Command{Argv: o.Cmd, Procs: 2, Logger: logger})
		if err != nil {
			return err
		}
		defer children.Close()
	}
	if o.Exec != nil {
		if err := worker.HandleExec(registry, "exec", o.Exec); err != nil {
			return err
		}
	}
	config := worker.Config{Name: o.Name, Concurrency: o.Concurrency, Heartbeat: o.Heartbeat, TTL: o.TTL, DrainTimeout: o.Drain, Logger: logger}
	if o.Queue != "" {
		config.Queues = []worker.Share{{Queue: scheduler.Queue(o.Queue)}}
	}
	w, err := worker.New(client, registry, config)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// job is the payload of all kinds.
type job struct {
	Milliseconds int    `json:"ms"`   // of work
	Verb         string `json:"verb"` // how a zombie ends
}

// hands are the handlers of the worker processes.
type hands struct {
	pool *pgxpool.Pool
	gate *scheduler.Client
}

func (h *hands) register(r *worker.Registry) {
	worker.Handle(r, "tx", h.tx)
	worker.Handle(r, "poison", h.poison)
	worker.Handle(r, "wait", h.wait)
	worker.Handle(r, "zombie", h.zombie)
}

// tx works for a while, then leaves its effect and completes in one transaction.
func (h *hands) tx(ctx context.Context, task *worker.Task[job]) (any, error) {
	if err := pause(ctx, time.Duration(task.Args.Milliseconds)*time.Millisecond); err != nil {
		return nil, err
	}
	return nil, h.complete(ctx, task)
}

func (h *hands) complete(ctx context.Context, task *worker.Task[job]) error {
	return pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		if err := effect(ctx, tx, task.Info); err != nil {
			return err
		}
		return task.CompleteTx(ctx, tx, nil)
	})
}

func effect(ctx context.Context, tx pgx.Tx, info worker.Info) error {
	_, err := tx.Exec(ctx, `insert into ledger.effects (task_id, attempt) values ($1, $2)`, info.ID, info.Attempt)
	return err
}

// poison takes its whole process with it, once those that it took with it before are done: nobody dies of it as often as it does itself.
func (h *hands) poison(ctx context.Context, task *worker.Task[job]) (any, error) {
	for hit := true; hit; {
		if err := pause(ctx, time.Duration(task.Args.Milliseconds)*time.Millisecond); err != nil {
			return nil, err
		}
		err := h.pool.QueryRow(ctx, `select exists (select from scheduler.tasks where crashes > 0 and state <> 'completed' and id <> $1)`, task.ID).Scan(&hit)
		if err != nil {
			return nil, err
		}
	}
	return nil, syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// wait does nothing until it is told to stop, or the test opens the gate.
func (h *hands) wait(ctx context.Context, _ *worker.Task[job]) (any, error) {
	return nil, h.open(ctx)
}

// open waits for the gate.
func (h *hands) open(ctx context.Context) error {
	for {
		var open bool
		if err := h.pool.QueryRow(ctx, `select exists (select from ledger.gate)`).Scan(&open); err != nil {
			return err
		}
		if open {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// zombie waits at its first attempt, deaf to its context, until the gate is open; then it tries to write. It notes what it
// was told. Later attempts do the work at once.
func (h *hands) zombie(ctx context.Context, task *worker.Task[job]) (any, error) {
	if task.Attempt > 1 {
		return nil, h.complete(ctx, task)
	}
	free := context.WithoutCancel(ctx)
	if task.Args.Verb == "hold" {
		return nil, h.hold(free, task)
	}
	if _, err := h.pool.Exec(free, `insert into ledger.begun values ($1)`, task.ID); err != nil {
		return nil, err
	}
	if err := h.open(free); err != nil {
		return nil, err
	}
	_ = task.Report(1, 1, "zombie") // refused, or dropped later
	task.Log("zombie")
	var err error
	switch task.Args.Verb {
	case "report":
		err = pgx.BeginFunc(free, h.pool, func(tx pgx.Tx) error {
			return errors.Join(effect(free, tx, task.Info), task.ReportTx(free, tx, 1, 1, "zombie"))
		})
	case "complete in a transaction":
		err = h.complete(free, task)
	}
	verb, atOnce := strings.CutSuffix(task.Args.Verb, " at once")
	if !atOnce {
		<-ctx.Done() // its worker has noticed
	}
	_, noted := h.pool.Exec(free, `insert into ledger.verdicts (task_id, verb, error, cause) values ($1, $2, $3, $4)`,
		task.ID, task.Args.Verb, fmt.Sprint(err), fmt.Sprint(context.Cause(ctx)))
	if noted != nil {
		return nil, noted
	}
	switch verb {
	case "complete":
		return "zombie", nil
	case "snooze":
		return nil, worker.Snooze(0)
	case "panic":
		panic("zombie")
	case "fail for good":
		return nil, worker.Permanent(errors.New("zombie"))
	}
	return nil, errors.New("zombie")
}

// hold completes in a transaction that it commits only when the gate is open: its row is locked all the while.
func (h *hands) hold(ctx context.Context, task *worker.Task[job]) error {
	return pgx.BeginFunc(ctx, h.pool, func(tx pgx.Tx) error {
		if err := errors.Join(effect(ctx, tx, task.Info), task.CompleteTx(ctx, tx, "held")); err != nil {
			return err
		}
		if _, err := h.pool.Exec(ctx, `insert into ledger.verdicts (task_id, verb) values ($1, 'holds')`, task.ID); err != nil {
			return err
		}
		return h.open(ctx)
	})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
