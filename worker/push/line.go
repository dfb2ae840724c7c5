package push

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// line delivers to one endpoint.
type line struct {
	pusher   *Pusher
	endpoint scheduler.Endpoint // as it was when the line began
	to       atomic.Pointer[target]
	gate     *gate
	counts   *tally
	stop     context.CancelFunc // ends the intake
	ended    chan struct{}

	mu      sync.Mutex
	worker  *worker.Worker // nil: not yet
	aborted bool
}

func (p *Pusher) newLine(e scheduler.Endpoint, to *target) *line {
	l := &line{pusher: p, endpoint: e, gate: newGate(p.client, e.Name, p.config.Logger), counts: p.tallies.of(e.Name), ended: make(chan struct{})}
	l.to.Store(to)
	return l
}

// run delivers until intake ends and what is under way has ended, or abort was called.
func (l *line) run(intake, life context.Context) {
	defer close(l.ended)
	life, end := context.WithCancel(life)
	var telling sync.WaitGroup
	telling.Go(func() { l.gate.run(life) }) // ends with life
	defer func() {
		end()
		telling.Wait()
		l.gate.last(context.WithoutCancel(life))
	}()
	for {
		w, err := l.newWorker()
		if err == nil {
			err = w.Run(intake)
			l.pusher.attempts.end(w)
		}
		if err == nil || errors.Is(err, worker.ErrAborted) || intake.Err() != nil {
			return
		}
		l.pusher.config.Logger.LogAttrs(life, slog.LevelWarn, "push", slog.String("endpoint", l.endpoint.Name), slog.Any("err", err))
		select {
		case <-intake.Done():
			return
		case <-time.After(startAgain):
		}
	}
}

const (
	startAgain = time.Second
	passWithin = 10 * time.Second
	unhurried  = 60 * 24 * time.Hour // longer than any task is left to an endpoint; the Pusher decides when to give up
)

func (l *line) newWorker() (*worker.Worker, error) {
	e, c := l.endpoint, l.pusher.config
	registry := worker.NewRegistry()
	for _, kind := range e.Kinds {
		worker.Handle(registry, kind, l.handle)
	}
	var shares []worker.Share
	for _, queue := range e.Queues {
		shares = append(shares, worker.Share{Queue: queue})
	}
	w, err := worker.New(l.pusher.client, registry, worker.Config{Queues: shares, Concurrency: e.Concurrency, Heartbeat: c.Heartbeat, TTL: c.TTL,
		Poll: c.Poll, DrainTimeout: unhurried, Name: "push:" + e.Name + "@" + c.Name, Version: c.Version, Logger: c.Logger, Hosted: true, QuietErrors: true,
		Gate: &worker.Gate{Ask: l.gate.ask, Took: l.gate.took, Ended: l.gate.ended}})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worker = w
	l.pusher.attempts.begin(w)
	if l.aborted {
		w.Abort()
	}
	return w, nil
}

// with calls f with the line's worker, if it has one.
func (l *line) with(f func(*worker.Worker)) {
	l.mu.Lock()
	w := l.worker
	l.mu.Unlock()
	if w != nil {
		f(w)
	}
}

// abort hands back what is under way.
func (l *line) abort() {
	l.mu.Lock()
	l.aborted = true
	l.mu.Unlock()
	l.with((*worker.Worker).Abort)
}

// renew takes in what changed of the endpoint, and has it looked for tasks.
func (l *line) renew(to *target) {
	l.to.Store(to)
	l.gate.reset()
	l.with((*worker.Worker).Wake)
}

// handle delivers one attempt.
func (l *line) handle(ctx context.Context, task *worker.Task[json.RawMessage]) (json.RawMessage, error) {
	to, generation := l.to.Load(), l.gate.generation()
	answer, err := l.pusher.deliver(ctx, to, task)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, worker.ErrTimeout) { // says nothing about the endpoint
			l.gate.waive(generation)
			return nil, err
		}
		l.gate.note(generation, err.Error())
		l.counts.add(Failed)
		return nil, err
	}
	if answer.sound() {
		l.gate.note(generation, "")
	} else {
		l.gate.note(generation, answer.text())
	}
	if answer.accepted() {
		l.counts.add(Accepted)
		return nil, l.pass(ctx, to, task)
	}
	result, err := answer.outcome()
	l.counts.add(outcomeOf(answer, err))
	return result, err
}

// pass leaves an attempt to the endpoint that accepted it. It never returns nil.
func (l *line) pass(ctx context.Context, to *target, task *worker.Task[json.RawMessage]) error {
	const first, most = 50 * time.Millisecond, 2 * time.Second
	task.Log("endpoint %s answered 202: it is to end the task within %s", to.name, to.completeWithin)
	for pause := first; ; pause = min(2*pause, most) {
		call, cancel := context.WithTimeout(ctx, passWithin)
		err := l.pusher.client.Accept(call, task.Lease(), to.name, to.completeWithin)
		cancel()
		switch {
		case err == nil:
			return worker.ErrEndedElsewhere
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, scheduler.ErrLeaseLost), scheduler.Refused(err): // as when it has ended the task already
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}
