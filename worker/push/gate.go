package push

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// giveBackAfter is how long slots are kept that nothing is done with: their worker may ask for more just now.
const giveBackAfter = 20 * time.Millisecond

// lastWithin is how long the end of a line may take to tell its last outcomes.
const lastWithin = 2 * time.Second

// gate holds the part of an endpoint's limits that this process was granted. Safe for concurrent use.
type gate struct {
	client   *scheduler.Client
	endpoint string
	logger   *slog.Logger
	dirty    chan struct{} // there may be something to tell

	turn sync.Mutex // held while a turn is taken: one at a time

	mu       sync.Mutex
	worker   scheduler.WorkerID // who asked last; zero: nobody yet
	busy     int                // deliveries
	promised int                // granted, and not known yet whether they begin
	unused   int                // granted, and did not begin; not told yet
	held     int                // slots that the database has us hold
	known    scheduler.Turn     // the last answer
	until    time.Time          // before it, it is of no use to ask
	changes  int                // so often that was taken back
	told     report             // what is to be told
}

// report is what came of deliveries of one generation.
type report struct {
	succeeded bool
	failures  int // since then
	lastError string
	undecided bool // one says nothing about the endpoint
}

func newGate(client *scheduler.Client, endpoint string, logger *slog.Logger) *gate {
	return &gate{client: client, endpoint: endpoint, logger: logger, dirty: make(chan struct{}, 1), known: scheduler.Turn{State: scheduler.BreakerClosed}}
}

// ask is worker.Gate's.
func (g *gate) ask(ctx context.Context, id scheduler.WorkerID, most int) (int, time.Duration, error) {
	g.turn.Lock()
	defer g.turn.Unlock()
	g.mu.Lock()
	wait := time.Until(g.until)
	if g.worker != id {
		g.worker, wait = id, 0
	}
	g.mu.Unlock()
	if wait > 0 {
		return 0, wait, nil
	}
	turn, err := g.take(ctx, most)
	if errors.Is(err, scheduler.ErrNotFound) { // the endpoint was deleted; the line is about to end
		return 0, time.Second, nil
	}
	return turn.Granted, turn.Retry(), err
}

// take takes a turn; g.turn is held.
func (g *gate) take(ctx context.Context, more int) (scheduler.Turn, error) {
	g.mu.Lock()
	told, changes := g.told, g.changes
	g.told = report{}
	d := scheduler.Deliveries{Endpoint: g.endpoint, Worker: g.worker, Busy: g.busy + g.promised, More: more, Unused: g.unused,
		Generation: g.known.Generation, Succeeded: told.succeeded, Failures: told.failures, LastError: told.lastError, Undecided: told.undecided}
	g.mu.Unlock()
	turn, err := g.client.TakeTurn(ctx, d)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.told = told.then(g.told)
		return turn, err
	}
	if turn.State != g.known.State {
		g.logger.LogAttrs(ctx, slog.LevelWarn, "breaker", slog.String("endpoint", g.endpoint), slog.String("state", string(turn.State)))
	}
	if turn.Generation != g.known.Generation { // what was begun before counts no more
		g.told = report{lastError: g.told.lastError}
	}
	g.known, g.unused = turn, g.unused-d.Unused
	g.promised += turn.Granted
	g.held = d.Busy + turn.Granted
	g.until = time.Time{}
	if more > 0 && turn.Granted == 0 && changes == g.changes { // else the answer may be older than the change
		g.until = time.Now().Add(turn.Retry())
	}
	return turn, nil
}

// then is what r and, after it, later add up to.
func (r report) then(later report) report {
	if !later.succeeded {
		later.failures += r.failures
		later.succeeded = r.succeeded
	}
	if later.lastError == "" {
		later.lastError = r.lastError
	}
	later.undecided = later.undecided || r.undecided
	return later
}

// took is worker.Gate's.
func (g *gate) took(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unused += g.promised - n
	g.promised = 0
	g.busy += n
	g.stir()
}

// ended is worker.Gate's.
func (g *gate) ended() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	if g.known.State == scheduler.BreakerClosed {
		g.askAgain()
	}
	g.stir()
}

// stir has the turn taken soon that tells of changes; g.mu is held.
func (g *gate) stir() {
	select {
	case g.dirty <- struct{}{}:
	default:
	}
}

// generation is that of deliveries that begin now.
func (g *gate) generation() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known.Generation
}

// note takes in what came of a delivery that began in a generation; failure "": it succeeded.
func (g *gate) note(generation int64, failure string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case generation != g.known.Generation:
		g.told.lastError = failure
	case failure == "":
		g.told.succeeded, g.told.failures = true, 0
	default:
		g.told.failures++
		g.told.lastError = failure
	}
	g.stir()
}

// waive takes in that a delivery that began in a generation has ended and says nothing about the endpoint: if it was the probe, there
// is to be another.
func (g *gate) waive(generation int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if generation == g.known.Generation {
		g.told.undecided = true
		g.stir()
	}
}

// reset forgets that it is of no use to ask: the endpoint has changed.
func (g *gate) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.askAgain()
}

// askAgain takes back that it is of no use to ask, also when the answer that says so is under way; g.mu is held.
func (g *gate) askAgain() {
	g.until = time.Time{}
	g.changes++
}

// run tells what nobody asks for until ctx ends: slots given back, and outcomes.
func (g *gate) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.dirty:
		}
		wait := giveBackAfter
		for {
			pause.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
			if err := g.settle(ctx); err == nil || errors.Is(err, scheduler.ErrNotFound) {
				break
			}
			wait = time.Second
		}
	}
}

// settle takes a turn if there is anything to tell.
func (g *gate) settle(ctx context.Context) error {
	g.turn.Lock()
	defer g.turn.Unlock()
	g.mu.Lock()
	something := g.held > g.busy+g.promised || g.unused > 0 || g.untold()
	nobody := g.worker.IsZero()
	g.mu.Unlock()
	if !something || nobody {
		return nil
	}
	_, err := g.take(ctx, 0)
	return err
}

// untold reports whether there are outcomes that the breaker needs; g.mu is held.
func (g *gate) untold() bool {
	return g.told.failures > 0 || g.told.lastError != "" || (g.told.succeeded || g.told.undecided) && g.known.State != scheduler.BreakerClosed
}

// last tells the outcomes that nobody has told yet, once the worker has ended: slots it has none any more.
func (g *gate) last(ctx context.Context) {
	g.mu.Lock()
	untold := g.untold()
	g.mu.Unlock()
	if !untold {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lastWithin)
	defer cancel()
	if err := g.settle(ctx); err != nil && !errors.Is(err, scheduler.ErrNotFound) {
		g.logger.LogAttrs(ctx, slog.LevelWarn, "breaker", slog.String("endpoint", g.endpoint), slog.Any("err", err))
	}
}
