package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// rounds is what a Client does for many while there is anybody whom it is for: one goroutine listens, and one makes a round
// when something was heard, and from time to time. It is embedded in whatever it is made for.
type rounds struct {
	client   *Client
	of       rounder
	verb     string        // of rounds that fail, in the log
	channels []string      // that are listened to
	gather   time.Duration // what comes so soon one after the other is looked at in one round
	work     chan struct{} // there is reason for a round

	mu      sync.Mutex // and all else of what it is made for
	running bool
	closed  bool
	due     time.Time // of the next round; zero: one is being made
	life    context.Context
	end     context.CancelFunc // ends life
	flights sync.WaitGroup
}

// rounder is what rounds are made for.
type rounder interface {
	hear(channel, payload string) // as Listen has it
	wanted() bool                 // whether there is anybody, or was a moment ago; mu is held
	// round returns when to make the next at the latest, also with an error. timed: nothing was heard, it is time.
	round(ctx context.Context, timed bool) (next time.Duration, err error)
}

// start has rounds made, the first in a while if nothing is heard before, unless they are. mu is held.
func (r *rounds) start(first time.Duration) {
	if r.running || r.closed {
		return
	}
	ctx, end := context.WithCancel(bePatient(context.Background())) // it serves many, none of whom owns it
	r.running, r.life, r.end, r.due = true, ctx, end, time.Now().Add(first)
	r.flights.Go(func() { // ends with ctx; stop waits for it
		_ = r.client.Listen(ctx, r.channels, r.of.hear) // who polls does without
	})
	r.flights.Go(func() { // ends with ctx, or when nobody wants more; stop waits for it
		defer end()
		r.run(ctx, first)
	})
}

// stop returns when nothing is under way, and nothing will be.
func (r *rounds) stop() {
	r.mu.Lock()
	r.closed = true
	if r.end != nil {
		r.end()
	}
	r.mu.Unlock()
	r.flights.Wait()
}

// wake has a round made.
func (r *rounds) wake() { nudge(r.work) }

// by has a round made then at the latest: now, and that says when the next is due. mu is held.
func (r *rounds) by(at time.Time) {
	if r.due.IsZero() || at.Before(r.due) {
		r.wake()
	}
}

// run makes rounds until ctx ends or nobody wants more.
func (r *rounds) run(ctx context.Context, first time.Duration) {
	failing := false
	timer := time.NewTimer(first)
	defer timer.Stop()
	for {
		timed := false
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timed = true
		case <-r.work:
			select {
			case <-ctx.Done():
				return
			case <-time.After(r.gather):
			}
		}
		r.mu.Lock()
		wanted, due := r.of.wanted(), r.due
		r.running, r.due = wanted, time.Time{}
		r.mu.Unlock()
		if !wanted {
			return
		}
		next, err := r.of.round(ctx, timed)
		if err != nil && !failing && ctx.Err() == nil {
			r.client.config.Logger.LogAttrs(ctx, slog.LevelWarn, r.verb, slog.Any("err", err))
		}
		failing = err != nil
		if at := time.Now().Add(next); timed || at.Before(due) { // what is heard puts off nothing
			due = at
		}
		r.mu.Lock()
		r.due = due
		r.mu.Unlock()
		timer.Reset(time.Until(due))
	}
}
