package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// run calls the handler of one attempt and writes how it ended.
func (w *Worker) run(a *attempt) {
	began := time.Now()
	result, err := call(a.ctx, w.registry.handlers[a.task.Kind], a)
	w.settle(a, outcome{result: result, err: err, cause: context.Cause(a.ctx), took: time.Since(began)})
	a.cancel(context.Canceled)
	w.journal.forget(a)
	a.session.remove(a)
	w.vacate()
}

// call turns a panic into an error with a stack.
func call(ctx context.Context, h handler, a *attempt) (result json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &codedError{code: "panic", message: fmt.Sprint("panic: ", p), stack: string(debug.Stack())}
		}
	}()
	return h(ctx, a)
}

// outcome is how a handler ended.
type outcome struct {
	result json.RawMessage
	err    error
	cause  error // why its context ended; nil: it did not
	took   time.Duration
}

// settle writes the outcome until the database has taken or refused it. Only Abort makes it give up: then the lease runs
// out and others rescue the task.
func (w *Worker) settle(a *attempt, out outcome) {
	const first, most = 50 * time.Millisecond, 2 * time.Second
	write := w.writer(a, out)
	unsure := false // an earlier try may have been carried out
	for pause := first; ; pause = min(2*pause, most) {
		err := w.try(a, write)
		if errors.Is(err, scheduler.ErrLeaseLost) && unsure {
			if settled, serr := w.settled(a); serr != nil {
				err = serr
			} else if settled {
				return
			}
		}
		switch {
		case err == nil:
			return
		case errors.Is(err, scheduler.ErrLeaseLost):
			w.logAttempt(a, slog.LevelWarn, "lease lost, nothing was written", out, nil)
			return
		}
		w.logAttempt(a, slog.LevelWarn, "settle", out, err)
		if scheduler.Unavailable(err) {
			unsure = true
		} else { // refused for what it holds: say that instead
			write = w.failer(a, scheduler.Failure{Code: "bad_result", Message: "the outcome could not be stored: " + err.Error()})
		}
		select {
		case <-w.abort:
			return
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

func (w *Worker) try(a *attempt, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), writeTimeout)
	defer cancel()
	a.mu.Lock()
	inTx := a.inTx
	a.mu.Unlock()
	if !inTx {
		if err := w.journal.flush(ctx, a); scheduler.Unavailable(err) {
			return err
		} else if err != nil { // never let a line or a report stand in the way of the outcome
			w.config.Logger.LogAttrs(ctx, slog.LevelError, "report", slog.String("task_id", a.task.Task.String()), slog.Any("err", err))
			w.journal.forget(a)
		}
	}
	return write(ctx)
}

func (w *Worker) settled(a *attempt) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), writeTimeout)
	defer cancel()
	return w.client.Settled(ctx, a.task.Lease)
}

// writer chooses the verb that ends the attempt.
func (w *Worker) writer(a *attempt, out outcome) func(context.Context) error {
	a.mu.Lock()
	inTx := a.inTx
	a.mu.Unlock()
	var snooze *snoozeError
	switch {
	case inTx:
		return w.afterTx(a, out)
	case out.err == nil:
		if out.result != nil {
			if err := scheduler.CheckJSON(out.result); err != nil {
				return w.failer(a, scheduler.Failure{Code: "bad_result", Message: "result cannot be stored: " + err.Error(), Permanent: true})
			}
		}
		return func(ctx context.Context) error { return w.client.Complete(ctx, a.task.Lease, out.result) }
	case errors.As(out.err, &snooze):
		return func(ctx context.Context) error {
			_, err := w.client.Snooze(ctx, a.task.Lease, snooze.delay, out.err.Error())
			return err
		}
	case errors.Is(out.cause, ErrShutdown), errors.Is(out.cause, scheduler.ErrLeaseLost):
		return func(ctx context.Context) error { return w.client.Release(ctx, []scheduler.Lease{a.task.Lease}) }
	}
	w.logAttempt(a, slog.LevelInfo, "fail", out, out.err)
	return w.failer(a, failureOf(out))
}

func (w *Worker) failer(a *attempt, failure scheduler.Failure) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := w.client.Fail(ctx, a.task.Lease, failure)
		return err
	}
}

// afterTx ends an attempt whose handler called CompleteTx. If its transaction committed, the task is completed and the
// guard of fail finds nothing to do; if not, the attempt has failed.
func (w *Worker) afterTx(a *attempt, out outcome) func(context.Context) error {
	failure := scheduler.Failure{Code: "not_committed", Message: "the handler returned, but its transaction with CompleteTx did not commit"}
	if out.err != nil {
		failure = failureOf(out)
	}
	return func(ctx context.Context) error {
		_, err := w.client.Fail(ctx, a.task.Lease, failure)
		if !errors.Is(err, scheduler.ErrLeaseLost) {
			return err
		}
		settled, err := w.client.Settled(ctx, a.task.Lease)
		if err == nil && !settled {
			return scheduler.ErrLeaseLost
		}
		return err
	}
}

// failureOf turns a handler's error into what is stored.
func failureOf(out outcome) scheduler.Failure {
	f := scheduler.Failure{Code: "error", Message: out.err.Error()}
	var coded *codedError
	if errors.As(out.err, &coded) {
		f.Code, f.Stack = coded.code, coded.stack
	}
	var permanent *permanentError
	f.Permanent = errors.As(out.err, &permanent)
	var later *retryAfterError
	if errors.As(out.err, &later) {
		f.RetryAfter = &later.after
	}
	switch {
	case errors.Is(out.cause, ErrCancelled):
		f.Code = "cancelled"
	case errors.Is(out.cause, ErrTimeout) && f.Code == "error":
		f.Code = "timeout"
		f.Message = fmt.Sprintf("timed out after %s: %s", out.took.Round(time.Millisecond), f.Message)
	}
	return f
}

func (w *Worker) logAttempt(a *attempt, level slog.Level, message string, out outcome, err error) {
	attrs := []slog.Attr{slog.String("task_id", a.task.Task.String()), slog.String("queue", string(a.task.Queue)),
		slog.String("kind", a.task.Kind), slog.Int("attempt", a.task.Attempt), slog.Duration("duration", out.took)}
	if err != nil {
		attrs = append(attrs, slog.String("err", scheduler.Truncate(err.Error(), 500)))
	}
	w.config.Logger.LogAttrs(context.Background(), level, message, attrs...)
}
