package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Worker runs tasks. Make it with New; call Run once.
type Worker struct {
	client   *scheduler.Client
	registry *Registry
	gangs    []*gang
	slots    int // of all gangs
	config   Config
	journal  *journal
	crew     crew
	counts   counts
	wake     chan struct{}      // there may be something to lease, or a slot is free
	beat     chan struct{}      // send a heartbeat now
	groups   groups             // of processes that run one task
	again    *time.Timer        // wakes when it may be of use to ask the gate again
	abort    context.Context    // no context of calls: the signal of Abort
	aborting context.CancelFunc // ends abort
	stop     context.CancelFunc // ends the intake; set by Run

	settling sync.WaitGroup // attempts whose handlers have returned and whose outcomes are being written

	mu      sync.Mutex
	session *session      // nil: not registered
	ended   bool          // nothing more is written
	running int           // handlers
	open    int           // attempts whose outcome is not written yet, running ones among them
	idle    chan struct{} // closed when open is 0; nil while nobody waits
}

// New returns a Worker that runs the kinds of the registry. It returns an error that names the field for a bad Config, or
// when the registry is empty.
func New(client *scheduler.Client, registry *Registry, config Config) (*Worker, error) {
	if err := config.fill(); err != nil {
		return nil, err
	}
	gangs, slots, err := gangsOf(registry, config)
	if err != nil {
		return nil, err
	}
	abort, aborting := context.WithCancel(context.Background())
	w := &Worker{
		client: client, registry: registry, gangs: gangs, slots: slots, config: config, journal: newJournal(client, config.Logger),
		wake: make(chan struct{}, 1), beat: make(chan struct{}, 1), abort: abort, aborting: aborting,
	}
	for _, c := range registry.commands {
		c.serve(w.wake)
	}
	w.again = time.AfterFunc(time.Hour, w.Wake)
	w.again.Stop()
	return w, nil
}

// Run takes and runs tasks until ctx ends or the worker is told to stop, then drains: running tasks may finish for
// Config.DrainTimeout, then their contexts end with ErrShutdown and they are handed back. It returns nil after that,
// ErrAborted after Abort, and an error when the worker can't register at the start. A database that goes away later is
// waited for. Besides, it does what scheduler.Client.Maintain does.
func (w *Worker) Run(ctx context.Context) error {
	intake, stop := context.WithCancel(ctx)
	defer stop()
	w.stop = stop
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // heartbeats and reports go on while draining
	defer end()

	defer w.closeChildren()

	first := newSession(w.config.TTL)
	opening, opened := soonAfter(life, ctx) // who is told to end while it registers knows that it is entered, and leaves
	err := w.register(opening, first)
	opened()
	if err != nil {
		return err
	}
	w.config.Logger.LogAttrs(ctx, slog.LevelInfo, "register", slog.String("worker_id", first.id.String()), slog.String("name", w.config.Name),
		slog.Any("kinds", w.registry.Kinds()), slog.Int("slots", w.slots))

	var duties sync.WaitGroup // each ends with life
	duties.Go(func() { w.live(life, first) })
	duties.Go(func() { w.journal.run(life) })
	if !w.config.Hosted {
		duties.Go(func() { _ = w.client.Maintain(life) }) // always nil
		duties.Go(func() { w.listen(life) })
	}

	w.crew.run = func(a *attempt) { w.run(life, a) }
	w.take(intake, life)
	w.again.Stop()
	err = w.drain(life)
	end()
	w.leaveSettling()
	w.crew.close()
	duties.Wait()
	w.deregister(context.WithoutCancel(ctx))
	return err
}

// Abort ends Run at once, also while it drains: handlers are told ErrShutdown, child processes are killed, and all tasks are
// handed back without waiting. Safe to call from any goroutine, before or during Run, more than once.
func (w *Worker) Abort() { w.aborting() }

// listen turns notifications into hints.
func (w *Worker) listen(ctx context.Context) {
	_ = w.client.Listen(ctx, Channels(), w.Hear) // a closed client ends the rest, too
}

// Channels are what a worker listens to; see Config.Hosted.
func Channels() []string {
	return []string{scheduler.ChannelReady, scheduler.ChannelControl, scheduler.ChannelDue}
}

// Hear takes in a notification, or "", "": anything may have been missed. Called by the host of a worker with Config.Hosted,
// as by scheduler.Client.Listen. Never blocks. Safe to call from any goroutine.
func (w *Worker) Hear(channel, payload string) {
	switch channel {
	case "":
		w.wantAll()
		nudge(w.wake)
		nudge(w.beat)
	case scheduler.ChannelReady:
		if w.want(scheduler.Queue(payload)) {
			nudge(w.wake)
		}
	case scheduler.ChannelControl:
		if s := w.current(); payload == "*" || s != nil && payload == s.id.String() {
			nudge(w.beat)
		}
	}
}

// Wake has the worker look for tasks now. Safe to call from any goroutine.
func (w *Worker) Wake() { nudge(w.wake) }

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *Worker) current() *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.session
}

// free returns how many tasks a gang may take: a slot is free once its handler has returned, but outcomes that are not
// written yet, and which a crash would repeat, are never more than two a slot.
func (w *Worker) free(g *gang) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	free := g.slots - g.running
	if g.children != nil {
		free = min(free, g.children.free(g.running))
	}
	return min(free, 2*w.slots-w.open)
}

// occupy counts n tasks of a gang as running.
func (w *Worker) occupy(g *gang, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g.running += n
	w.running += n
	w.open += n
}

// vacate counts one handler as returned.
func (w *Worker) vacate(g *gang) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g.running--
	w.running--
	if w.config.Gate != nil {
		w.config.Gate.Ended()
	}
	nudge(w.wake)
}

// close counts one attempt as written, or given up.
func (w *Worker) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
	if w.open == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
	nudge(w.wake)
}

// enterSettling counts an attempt whose outcome is about to be written; leave with settling.Done. false: Run has ended, the
// task was handed back.
func (w *Worker) enterSettling() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.settling.Add(1)
	}
	return !w.ended
}

// leaveSettling returns when no outcome is being written, and none will be: their context and their retries have ended.
func (w *Worker) leaveSettling() {
	w.Abort()
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.settling.Wait()
}

// allEnded returns a channel that is closed once no task runs and every outcome is written.
func (w *Worker) allEnded() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ended := make(chan struct{})
	if w.open == 0 {
		close(ended)
	} else {
		w.idle = ended
	}
	return ended
}
