package worker

import (
	"context"
	"log/slog"
	"time"
)

// patience is how long handlers may take to return once their contexts have ended at shutdown.
const patience = 2 * time.Second

// drain lets running tasks finish, then tells them to stop, then hands back what is left.
func (w *Worker) drain(ctx context.Context) error {
	for _, c := range w.registry.commands {
		c.drain()
	}
	ended := w.allEnded()
	timeout := time.NewTimer(max(w.config.DrainTimeout, 0))
	defer timeout.Stop()
	select {
	case <-ended:
	case <-w.abort.Done():
	case <-timeout.C:
	}
	if s := w.current(); s != nil {
		if told := s.cancelAll(ErrShutdown); told > 0 {
			w.config.Logger.LogAttrs(ctx, slog.LevelInfo, "release: drain timeout is over", slog.Int("tasks", told))
		}
	}
	grace := time.NewTimer(patience)
	defer grace.Stop()
	select {
	case <-ended:
	case <-w.abort.Done():
	case <-grace.C:
	}
	w.groups.kill()
	if !isClosed(ended) {
		w.killChildren()
	}
	w.handBack(ctx)
	w.awaitChildren()
	if w.abort.Err() != nil {
		return ErrAborted
	}
	return nil
}

// handBack releases the tasks whose handlers have not returned, or whose outcome could not be written: the process is about
// to end. What it can't hand back in time, others rescue.
func (w *Worker) handBack(ctx context.Context) {
	s := w.current()
	if s == nil {
		return
	}
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.unsure() {
		w.reclaim(call, s, s.beat().Held, 0) // the intake has ended: no lease is under way
	}
	for leases := s.open(); len(leases) > 0; {
		err := w.client.Release(call, leases)
		if err == nil {
			s.count(Released)
			return
		}
		select {
		case <-call.Done():
			w.config.Logger.LogAttrs(ctx, slog.LevelError, "release", slog.Int("tasks", len(leases)), slog.Any("err", err))
			return
		case <-time.After(patience / 20):
		}
	}
}

// deregister leaves the database; without it, others wait for the lease to run out.
func (w *Worker) deregister(ctx context.Context) {
	s := w.current()
	if s == nil {
		return
	}
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.client.Deregister(call, s.id); err != nil {
		w.config.Logger.LogAttrs(ctx, slog.LevelWarn, "deregister", slog.String("worker_id", s.id.String()), slog.Any("err", err))
	}
}

// nearAbort returns a context for one call: it ends with ctx, after writeTimeout, or soon after Abort was called.
func (w *Worker) nearAbort(ctx context.Context) (context.Context, context.CancelFunc) {
	timed, end := context.WithTimeout(ctx, writeTimeout)
	near, leave := soonAfter(timed, w.abort)
	return near, func() { leave(); end() }
}

// soonAfter returns a context that ends with ctx, or soon after over has ended.
func soonAfter(ctx, over context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(over, func() {
		select {
		case <-ctx.Done():
		case <-time.After(patience):
			cancel()
		}
	})
	return ctx, func() { unlink(); cancel() }
}
