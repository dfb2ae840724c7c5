package worker

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// live keeps the worker alive in the database until ctx ends. When the worker was declared dead in spite of it, all its
// handlers are told and it begins a new life under a new id.
func (w *Worker) live(ctx context.Context, s *session) {
	for {
		w.stay(ctx, s)
		if ctx.Err() != nil {
			return
		}
		w.counts.sessions.Add(1)
		w.setSession(nil)
		s.lose()
		w.config.Logger.LogAttrs(ctx, slog.LevelError, "heartbeat: declared dead, starting anew", slog.String("worker_id", s.id.String()))
		s = newSession(w.config.TTL)
		for w.register(ctx, s) != nil && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(w.config.Heartbeat/5 + rand.N(w.config.Heartbeat/5)):
			}
		}
	}
}

// stay sends heartbeats until ctx ends or the session is lost.
func (w *Worker) stay(ctx context.Context, s *session) {
	watched, stop := context.WithCancel(ctx)
	var guard sync.WaitGroup
	guard.Go(func() { w.guard(watched, s) }) // ends with watched
	defer guard.Wait()
	defer stop()
	failing := false
	next := time.NewTimer(w.config.Heartbeat)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.beat:
		case <-next.C:
		}
		again, err := w.sendBeat(ctx, s)
		switch {
		case errors.Is(err, scheduler.ErrWorkerLost):
			return
		case err == nil && !again:
			failing = false
			next.Reset(w.config.Heartbeat - rand.N(w.config.Heartbeat/10+1))
		case err == nil:
			failing = false
			next.Reset(w.config.Heartbeat / 10)
		default:
			if !failing && ctx.Err() == nil {
				w.config.Logger.LogAttrs(ctx, slog.LevelWarn, "heartbeat", slog.Any("err", err))
			}
			failing = true
			next.Reset(w.config.Heartbeat / 10)
		}
	}
}

// guard stops the handlers when no heartbeat has got through for so long that others will soon have their tasks. It does
// not share the heartbeats' goroutine, because one that hangs may hang for longer than that.
func (w *Worker) guard(ctx context.Context, s *session) {
	stopped := false // since the last heartbeat that got through
	for {
		wait := time.Until(s.deadline())
		switch {
		case wait > 0:
			stopped = false
		case !stopped:
			stopped = true
			told := s.cancelAll(scheduler.ErrLeaseLost)
			w.config.Logger.LogAttrs(ctx, slog.LevelError, "heartbeat: none got through, stopped all handlers",
				slog.String("worker_id", s.id.String()), slog.Int("tasks", told))
		}
		if wait <= 0 {
			wait = w.config.Heartbeat / 10
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// sendBeat sends one heartbeat and does what it is told. again: another is to follow soon.
func (w *Worker) sendBeat(ctx context.Context, s *session) (again bool, err error) {
	call, cancel := context.WithTimeout(ctx, w.config.Heartbeat)
	defer cancel()
	sent, told := time.Now(), s.beat()
	told.Memory = w.memory()
	orders, err := w.client.Heartbeat(call, s.id, told)
	if err != nil {
		return false, err
	}
	resumed, again := s.obey(sent, told, orders)
	if orders.Strays {
		w.reclaim(ctx, s, told.Held, strayAge)
	}
	if w.pause(orders.Paused) || resumed {
		nudge(w.wake)
	}
	if orders.Command == scheduler.CommandStop {
		w.stop()
	}
	return again, nil
}

// strayAge is older than any lease that is still under way.
const strayAge = 20 * time.Second

// reclaim hands back tasks that were leased without our knowing.
func (w *Worker) reclaim(ctx context.Context, s *session, held []int64, older time.Duration) {
	call, cancel := context.WithTimeout(ctx, w.config.Heartbeat)
	defer cancel()
	n, err := w.client.Reclaim(call, s.id, held, older)
	if err != nil || n > 0 {
		w.config.Logger.LogAttrs(ctx, slog.LevelWarn, "reclaim", slog.String("worker_id", s.id.String()), slog.Int("tasks", n), slog.Any("err", err))
	}
	s.mu.Lock()
	s.strays = s.strays && err != nil
	s.mu.Unlock()
}

// register enters the session into the database and makes it the current one.
func (w *Worker) register(ctx context.Context, s *session) error {
	queues := make([]scheduler.Queue, len(w.config.Queues))
	for i, share := range w.config.Queues {
		queues[i] = share.Queue
	}
	host, _ := os.Hostname()
	call, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	sent := time.Now()
	err := w.client.Register(call, scheduler.WorkerInfo{ID: s.id, Name: w.config.Name, Host: host, PID: os.Getpid(), Version: w.config.Version, Language: w.language(),
		Queues: queues, Kinds: w.registry.Kinds(), Slots: w.slots, TTL: w.config.TTL})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.seen = sent
	s.mu.Unlock()
	w.setSession(s)
	w.wantAll()
	nudge(w.wake)
	return nil
}

func (w *Worker) setSession(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session = s
}
