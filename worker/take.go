package worker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// take leases tasks and starts them until ctx ends or Abort is called. Woken by notifications, by slots that fall free and
// by the poll. What it starts runs in life, which lasts longer.
func (w *Worker) take(ctx, life context.Context) {
	const first, most = 100 * time.Millisecond, 2 * time.Second
	pause := first
	failing := false
	poll, at := time.NewTimer(0), time.Now()
	defer poll.Stop()
	for {
		if soon := time.Now().Add(w.pollEvery()); soon.Before(at) { // it no longer hears
			at = soon
			poll.Reset(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return
		case <-w.abort.Done():
			return
		case <-poll.C:
			w.wantAll()
			every := w.pollEvery()
			every -= rand.N(every/10 + 1)
			at = time.Now().Add(every)
			poll.Reset(every)
		case <-w.wake:
		}
		for ctx.Err() == nil && w.abort.Err() == nil {
			more, err := w.takeOnce(ctx, life)
			if err == nil {
				pause, failing = first, false
				if !more || !w.gather(ctx) {
					break
				}
				continue
			}
			if !failing && ctx.Err() == nil {
				w.config.Logger.LogAttrs(ctx, slog.LevelWarn, "lease", slog.Any("err", err))
				failing = true
			}
			select {
			case <-ctx.Done():
			case <-w.abort.Done():
				return
			case <-time.After(pause/2 + rand.N(pause)):
			}
			pause = min(2*pause, most)
		}
	}
}

// pollEvery is how often to look for what nothing announces. While the process hears what is announced, Maintain finds what
// was not, and this is only in case that both are mistaken.
func (w *Worker) pollEvery() time.Duration {
	if w.client.Hearing() {
		return max(hearingPoll, w.config.Poll)
	}
	return w.config.Poll
}

const hearingPoll = time.Minute

// gather waits, for a moment, until a good part of the slots are free: in a backlog, leases of many tasks cost a fraction of
// leases of few. It reports whether any are.
func (w *Worker) gather(ctx context.Context) bool {
	const moment = 2 * time.Millisecond
	enough := max(1, w.slots/4)
	if w.allFree() >= enough {
		return true
	}
	timer := time.NewTimer(moment)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-w.abort.Done():
			return false
		case <-timer.C:
			return w.allFree() > 0
		case <-w.wake:
			if w.allFree() >= enough {
				return true
			}
		}
	}
}

// takeOnce leases for the free slots of each gang. more: there are free slots and queues that may have further tasks.
func (w *Worker) takeOnce(ctx, life context.Context) (more bool, err error) {
	for _, g := range w.gangs {
		further, err := w.takeFor(life, g)
		if err != nil || ctx.Err() != nil {
			return false, err
		}
		more = more || further
	}
	return more, nil
}

func (w *Worker) takeFor(life context.Context, g *gang) (more bool, err error) {
	s, free := w.current(), w.free(g)
	if s == nil || free <= 0 || !s.mayLease() {
		return false, nil
	}
	// Not cut off by the end of ctx: tasks that were leased must be known to be handed back.
	call, cancel := w.nearAbort(life)
	defer cancel()
	if s.unsure() {
		w.reclaim(call, s, s.beat().Held, 0) // no lease is under way: this goroutine alone asks for them
	}
	if free, err = w.admitted(call, s, g, free); err != nil {
		return false, err
	}
	asks := g.lanes.asks(free)
	if len(asks) == 0 {
		w.took(0, free)
		return false, nil
	}
	tasks, err := w.client.Lease(call, s.id, g.kinds, asks)
	w.took(len(tasks), free)
	if err != nil {
		for _, ask := range asks {
			g.lanes.want(ask.Queue)
		}
		s.doubt()
		return false, err
	}
	got := map[scheduler.Queue]int{}
	for _, task := range tasks {
		got[task.Queue]++
	}
	for _, ask := range asks {
		if got[ask.Queue] == ask.Limit {
			g.lanes.want(ask.Queue)
			more = true
		}
	}
	w.start(life, s, g, tasks)
	return more, nil
}

// admitted returns how many of the free slots the gate lets be filled, and sees to it that it is asked again.
func (w *Worker) admitted(ctx context.Context, s *session, g *gang, free int) (int, error) {
	if w.config.Gate == nil {
		return free, nil
	}
	if !g.lanes.wants() {
		return 0, nil
	}
	granted, again, err := w.config.Gate.Ask(ctx, s.id, free)
	if granted == 0 && err == nil && again > 0 {
		w.again.Reset(again)
	}
	return granted, err
}

// took tells the gate how many tasks came of what it granted.
func (w *Worker) took(n, granted int) {
	if w.config.Gate != nil && granted > 0 {
		w.config.Gate.Took(n)
	}
}

// start has the tasks run.
func (w *Worker) start(ctx context.Context, s *session, g *gang, tasks []scheduler.LeasedTask) {
	w.occupy(g, len(tasks))
	attempts := make([]*attempt, len(tasks))
	var counts *laneCounts
	for i, task := range tasks {
		counts = w.counts.of(task.Queue, task.Kind, counts)
		attempts[i] = newAttempt(ctx, w, s, g, counts, task)
	}
	s.add(attempts)
	w.crew.start(attempts)
}
