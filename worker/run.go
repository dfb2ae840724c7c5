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
func (w *Worker) run(ctx context.Context, a *attempt) {
	began := time.Now()
	out := outcome{failure: &scheduler.Failure{Code: "panic", Message: "panic: the handler ended its goroutine by runtime.Goexit",
		Stack: "goroutine ended by runtime.Goexit"}}
	defer func() { // runs after Goexit too
		out.cause, out.took = context.Cause(a.ctx), time.Since(began)
		if !out.elsewhere { // else it may still run
			a.counts.run.Observe(int64(out.took))
		}
		a.endTrace(out)
		w.vacate(a.gang)
		switch {
		case out.elsewhere:
			w.leave(ctx, a)
		case w.plain(a, out):
			w.completeLater(ctx, a, out)
		default:
			w.end(a, w.settle(ctx, a, out))
		}
	}()
	a.counts.wait.Observe(int64(max(0, began.Sub(w.client.Local(a.task.RunAt)))))
	if a.ctx.Err() != nil { // it was so long on its way that the lease may be over, or its time is
		out = outcome{failure: failureOf(context.Cause(a.ctx))}
		return
	}
	out = call(a, w.registry.handlers[a.task.Kind])
}

// end takes leave of an attempt: settled, or to be handed back by drain.
func (w *Worker) end(a *attempt, settled bool) {
	if settled {
		a.session.remove(a)
	}
	a.cancel(context.Canceled)
	w.journal.forget(a)
	w.close()
}

// leave ends an attempt here that goes on, or has ended, elsewhere.
func (w *Worker) leave(ctx context.Context, a *attempt) {
	call, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_ = w.journal.flush(call, a) // its last lines; the outcome does not wait for them
	a.counts.end(Elsewhere)
	w.end(a, true)
}

// plain reports whether the attempt only has to be completed: most do.
func (w *Worker) plain(a *attempt, out outcome) bool {
	return out.failure == nil && !a.calledCompleteTx() && !a.noted.Load() && (out.result == nil || scheduler.CheckJSON(out.result) == nil)
}

// completeLater completes an attempt together with others, without holding a slot or a goroutine meanwhile.
func (w *Worker) completeLater(ctx context.Context, a *attempt, out outcome) {
	w.client.CompleteLater(a.task.Lease, out.result, func(err error) {
		if err == nil {
			a.counts.end(Completed)
			a.count(scheduler.Completed, out)
			w.end(a, true)
			return
		}
		go func() { w.end(a, w.settleAgain(ctx, a, out, err)) }() // ends with the settling that Run waits for
	})
}

// call runs a handler and reads its error; after that no method of the handler's is called any more, so that one which
// panics, as those of a typed nil do, ends this attempt and nothing else.
func call(a *attempt, h handler) (out outcome) {
	defer func() {
		if p := recover(); p != nil {
			out = outcome{failure: &scheduler.Failure{Code: "panic", Message: fmt.Sprint("panic: ", p), Stack: string(debug.Stack())}}
		}
	}()
	result, err := h(a.ctx, a)
	if err == nil {
		return outcome{result: result}
	}
	out.failure = failureOf(err)
	errors.As(err, &out.snooze)
	out.elsewhere = errors.Is(err, ErrEndedElsewhere)
	return out
}

// outcome is how a handler ended.
type outcome struct {
	result  json.RawMessage
	failure *scheduler.Failure // nil: it succeeded
	snooze  *snoozeError       // nil: it did not ask for that
	cause   error              // why its context ended; nil: it did not
	took    time.Duration

	elsewhere bool // nothing is to be written
}

// settle writes the outcome until the database has taken or refused it, and reports whether it did. Only Abort, or the end
// of Run, makes it give up: then the task is handed back, or rescued by others when the lease has run out.
func (w *Worker) settle(ctx context.Context, a *attempt, out outcome) bool {
	return w.settleAgain(ctx, a, out, nil)
}

// settleAgain is settle after a first try that ended with failed; nil: there was none.
func (w *Worker) settleAgain(ctx context.Context, a *attempt, out outcome, failed error) bool {
	const first, most = 50 * time.Millisecond, 2 * time.Second
	if !w.enterSettling() {
		return false
	}
	defer w.settling.Done()
	write := w.writer(a, out)
	unsure := false // an earlier try may have been carried out
	for pause := first; ; pause = min(2*pause, most) {
		err := failed
		if failed = nil; err == nil {
			err = w.try(ctx, a, write)
		}
		if errors.Is(err, scheduler.ErrLeaseLost) {
			if settled, serr := w.settled(ctx, a); serr != nil {
				err = serr
			} else if settled {
				a.counts.end(out.endingAfter(unsure))
				return true
			}
		}
		switch {
		case err == nil:
			return true
		case errors.Is(err, scheduler.ErrLeaseLost):
			a.counts.end(Lost)
			w.logAttempt(a, slog.LevelWarn, "lease lost, nothing was written", out, nil)
			return true
		case ctx.Err() != nil:
			return false
		}
		if pause == first {
			w.logAttempt(a, slog.LevelWarn, "settle", out, err)
		}
		if !scheduler.Refused(err) {
			unsure = true
		} else { // for what it holds: say that instead
			write = w.failer(a, out, scheduler.Failure{Code: "bad_result", Message: "the outcome could not be stored: " + err.Error()})
		}
		select {
		case <-w.abort.Done():
			return false
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

func (w *Worker) try(ctx context.Context, a *attempt, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := w.journal.flush(ctx, a); scheduler.Unavailable(err) {
		return err
	} else if err != nil { // never let a line or a report stand in the way of the outcome
		w.config.Logger.LogAttrs(ctx, slog.LevelError, "report", slog.String("task_id", a.task.Task.String()), slog.Any("err", err))
		w.journal.forget(a)
	}
	return write(ctx)
}

func (w *Worker) settled(ctx context.Context, a *attempt) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return w.client.Settled(ctx, a.task.Lease)
}

// writer chooses the verb that ends the attempt.
func (w *Worker) writer(a *attempt, out outcome) func(context.Context) error {
	lease := a.task.Lease
	if a.calledCompleteTx() {
		return w.unlessCommitted(a, out)
	}
	switch {
	case out.failure != nil:
		return w.unsuccessful(a, out)
	case out.result != nil:
		if err := scheduler.CheckJSON(out.result); err != nil {
			return w.failer(a, out, scheduler.Failure{Code: "bad_result", Message: "result cannot be stored: " + err.Error(), Permanent: true})
		}
	}
	return a.counted(Completed, func(ctx context.Context) error {
		err := w.client.Complete(ctx, lease, out.result)
		if err == nil {
			a.count(scheduler.Completed, out)
		}
		return err
	})
}

// counted counts the attempt as ended once write has written that.
func (a *attempt) counted(how Outcome, write func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := write(ctx)
		if err == nil {
			a.counts.end(how)
		}
		return err
	}
}

// endingAfter is how the attempt has ended when all that is known is that an outcome was written under its lease: its own, or,
// when no try of that was in doubt, that of another program (Task.Lease).
func (o outcome) endingAfter(unsure bool) Outcome {
	switch {
	case !unsure:
		return Elsewhere
	case o.failure == nil:
		return Completed
	case o.snooze != nil:
		return Snoozed
	case handsBack(o.cause):
		return Released
	case errors.Is(o.cause, ErrCancelled):
		return Cancelled
	}
	return Retried
}

// unsuccessful chooses among fail, snooze and release.
func (w *Worker) unsuccessful(a *attempt, out outcome) func(context.Context) error {
	lease := a.task.Lease
	switch {
	case out.snooze != nil:
		return a.counted(Snoozed, func(ctx context.Context) error {
			_, err := w.client.Snooze(ctx, lease, out.snooze.delay, out.failure.Message)
			return err
		})
	case handsBack(out.cause):
		return a.counted(Released, func(ctx context.Context) error { return w.client.Release(ctx, []scheduler.Lease{lease}) })
	}
	return w.failer(a, out, out.explained())
}

// handsBack reports whether a handler that ends for this cause, and without success, has its task handed back.
func handsBack(cause error) bool {
	return errors.Is(cause, ErrShutdown) || errors.Is(cause, scheduler.ErrLeaseLost) || errors.Is(cause, errHandBack)
}

func (w *Worker) failer(a *attempt, out outcome, failure scheduler.Failure) func(context.Context) error {
	return func(ctx context.Context) error {
		state, err := w.client.Fail(ctx, a.task.Lease, failure)
		if err == nil {
			a.counts.end(failedAs(state))
			a.count(state, out)
			text := failure.Message
			if w.config.QuietErrors {
				text = failure.Code
			}
			w.logAttempt(a, slog.LevelInfo, "fail", out, errors.New(text))
		}
		return err
	}
}

// failedAs is how an attempt ended that failed, by what its task became.
func failedAs(state scheduler.State) Outcome {
	switch state {
	case scheduler.Failed:
		return Failed
	case scheduler.Cancelled:
		return Cancelled
	}
	return Retried
}

// unlessCommitted ends an attempt whose handler called CompleteTx. If its transaction committed, the task is completed and
// the guards of the other verbs find nothing to do; if not, the attempt has ended without success.
func (w *Worker) unlessCommitted(a *attempt, out outcome) func(context.Context) error {
	if out.failure == nil {
		out.failure = &scheduler.Failure{Code: "not_committed", Message: "the handler returned, but its transaction with CompleteTx did not commit"}
	}
	write := w.unsuccessful(a, out)
	return func(ctx context.Context) error {
		err := write(ctx)
		if !errors.Is(err, scheduler.ErrLeaseLost) {
			return err
		}
		settled, err := w.client.Settled(ctx, a.task.Lease)
		switch {
		case err == nil && !settled:
			return scheduler.ErrLeaseLost
		case err == nil:
			a.count(scheduler.Completed, out)
		}
		if err == nil {
			a.counts.end(Completed)
		}
		return err
	}
}

// failureOf turns a handler's error into what is stored.
func failureOf(err error) *scheduler.Failure {
	f := &scheduler.Failure{Code: "error", Message: err.Error()}
	var coded *codedError
	if errors.As(err, &coded) {
		f.Code, f.Stack = coded.code, coded.stack
	}
	var permanent *permanentError
	f.Permanent = errors.As(err, &permanent)
	var later *retryAfterError
	if errors.As(err, &later) {
		f.RetryAfter = &later.after
	}
	return f
}

// explained is the failure with the reason for which the context had ended.
func (o outcome) explained() scheduler.Failure {
	f := *o.failure
	switch {
	case errors.Is(o.cause, ErrCancelled):
		f.Code = "cancelled"
	case errors.Is(o.cause, ErrTimeout) && f.Code == "error":
		f.Code = "timeout"
		f.Message = fmt.Sprintf("timed out after %s: %s", o.took.Round(time.Millisecond), f.Message)
	}
	return f
}

func (w *Worker) logAttempt(a *attempt, level slog.Level, message string, out outcome, err error) {
	attrs := []slog.Attr{slog.String("task_id", a.task.Task.String()), slog.String("queue", string(a.task.Queue)),
		slog.String("kind", a.task.Kind), slog.Int("attempt", a.task.Attempt), slog.Duration("duration", out.took)}
	if err != nil {
		attrs = append(attrs, slog.String("err", scheduler.Truncate(err.Error(), 500)))
	}
	w.config.Logger.LogAttrs(context.WithoutCancel(a.ctx), level, message, attrs...)
}
