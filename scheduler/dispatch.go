package scheduler

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	dispatchFlights = 4                // lease statements of polls under way at once
	dispatchPace    = 32               // polls that one round trip may serve
	dispatchLinger  = time.Minute      // after the last poll, for the next one
	dispatchPoll    = time.Minute      // how often to look for what is announced anyway; Maintain does, too
	renewPause      = time.Second      // after a failure
	trustUnheard    = 5 * time.Second  // how long a worker's command is believed while none is announced
	trustMost       = 20 * time.Second // the same in any case
)

// dispatcher serves the remote workers that wait for tasks at this process, however many, by one connection that listens, one
// poll, and one statement that keeps them all alive. Those that want the same kinds of a queue stand in one line. What is
// announced for the queue gets a lease for the first of the line, and for the next only if that one got all that it asked for.
type dispatcher struct {
	client *Client

	mu      sync.Mutex
	known   map[WorkerID]*remote
	cleared time.Time // when known was last rid of those who come no more
	lanes   map[Queue]*lane
	waiters map[*waiter]struct{}
	slots   chan struct{} // one for each lease statement
	work    chan struct{} // there is something to renew
	empty   time.Time     // since when nobody waits
	running bool
	end     context.CancelFunc
	life    context.Context
	closed  bool
	flights sync.WaitGroup
}

func (d *dispatcher) open(c *Client) {
	d.client = c
	d.known, d.lanes, d.waiters = map[WorkerID]*remote{}, map[Queue]*lane{}, map[*waiter]struct{}{}
	d.slots, d.work = make(chan struct{}, dispatchFlights), make(chan struct{}, 1)
}

// close answers all who wait, and returns when nothing is under way.
func (d *dispatcher) close() {
	d.mu.Lock()
	d.closed = true
	if d.end != nil {
		d.end()
	}
	for w := range d.waiters {
		d.excuse(w)
	}
	d.mu.Unlock()
	d.flights.Wait()
}

// want notes that the queue may have tasks.
func (d *dispatcher) want(queue Queue) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if its := d.lanes[queue]; its != nil {
		for _, l := range its.lines {
			l.wanted = true
		}
		d.launch(its)
	}
}

// launch has a lane served, unless it is. d.mu is held.
func (d *dispatcher) launch(its *lane) {
	if !its.flying && !d.closed {
		its.flying = true
		d.flights.Go(func() { d.fly(its) }) // ends when nobody can be served; close waits for it
	}
}

// fly serves a lane.
func (d *dispatcher) fly(its *lane) {
	const first, most = 100 * time.Millisecond, 2 * time.Second
	pause, failing := first, false
	for {
		d.slots <- struct{}{}
		d.mu.Lock()
		l, chosen := its.choose()
		if l == nil || d.closed {
			its.flying = false
			for _, w := range chosen {
				d.free(w)
			}
			d.mu.Unlock()
			<-d.slots
			return
		}
		life := d.life
		d.mu.Unlock()
		wishes := make([]wish, len(chosen))
		for i, w := range chosen {
			wishes[i] = wish{Ask: Ask{its.queue, w.max}, worker: w.worker, kinds: l.kinds, bound: true}
		}
		got, err := d.client.leaseRemote(context.WithoutCancel(life), wishes) // not cut off: what is leased must be known
		<-d.slots
		d.hand(l, chosen, got, err)
		if err == nil {
			pause, failing = first, false
			continue
		}
		if !failing {
			d.client.config.Logger.LogAttrs(life, slog.LevelWarn, "lease", slog.String("queue", string(its.queue)), slog.Any("err", err))
			failing = true
		}
		select {
		case <-life.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, most)
	}
}

// hand gives each of the chosen what was leased for it.
func (d *dispatcher) hand(l *line, chosen []*waiter, got [][]LeasedTask, err error) {
	if err != nil {
		got = make([][]LeasedTask, len(chosen))
	}
	var unwanted []LeasedTask
	d.mu.Lock()
	full := err == nil
	for i, w := range chosen {
		full = full && len(got[i]) == w.max
		if len(got[i]) == 0 {
			continue
		}
		w.busy = false
		d.leave(w)
		if w.gone {
			unwanted = append(unwanted, got[i]...)
		} else {
			d.noteLeased(w.worker)
			w.served <- got[i]
		}
	}
	l.pace = 1
	if full {
		l.pace = min(2*len(chosen), dispatchPace)
	}
	l.wanted = l.wanted || full || err != nil
	for i, w := range chosen {
		if len(got[i]) == 0 {
			d.free(w)
		}
	}
	d.mu.Unlock()
	d.client.handIn(context.Background(), unwanted)
}

// waiting returns how many polls wait.
func (d *dispatcher) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiters)
}

// start has the process listen and look after those who wait. d.mu is held.
func (d *dispatcher) start() {
	ctx, end := context.WithCancel(bePatient(context.Background())) // it serves many, none of whom owns it
	d.running, d.end, d.life = true, end, ctx
	d.flights.Go(func() { // ends with ctx; close waits for it
		_ = d.client.Listen(ctx, []string{ChannelReady, ChannelControl}, d.hear) // always nil
	})
	d.flights.Go(func() { // ends with ctx, or a while after the last poll; close waits for it
		defer end()
		d.run(ctx)
	})
}

// hear takes in a notification.
func (d *dispatcher) hear(channel, payload string) {
	switch channel {
	case ChannelReady:
		d.want(Queue(payload))
	case ChannelControl:
		d.doubt(payload)
	default: // connected, or not any more: anything may have happened
		d.wantAll()
		d.doubt("*")
	}
}

func (d *dispatcher) wantAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, its := range d.lanes {
		for _, l := range its.lines {
			l.wanted = true
		}
		d.launch(its)
	}
}

// run renews those who wait, and polls where nothing is announced, until ctx ends or nobody has waited for a while.
func (d *dispatcher) run(ctx context.Context) {
	polled := time.Now()
	timer := time.NewTimer(d.client.config.Poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.work:
		case <-timer.C:
		}
		hearing := d.client.hears(ChannelReady)
		wait := d.renewAll(ctx, hearing)
		every := d.client.config.Poll
		if hearing {
			every = max(every, dispatchPoll)
		}
		if time.Since(polled) >= every {
			polled = time.Now()
			d.poll(ctx)
		}
		if d.idle() {
			return
		}
		timer.Reset(cmp.Or(max(0, min(wait, every-time.Since(polled))), time.Millisecond))
	}
}

// idle reports whether nobody has waited for a while; then run must end.
func (d *dispatcher) idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = len(d.waiters) > 0 || time.Since(d.empty) < dispatchLinger
	return !d.running
}

// poll finds queues with ready tasks, for all who wait.
func (d *dispatcher) poll(ctx context.Context) {
	d.mu.Lock()
	nobody := len(d.waiters) == 0
	d.mu.Unlock()
	if nobody {
		return
	}
	call, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	queues, err := d.client.readyQueues(call)
	if err != nil { // the lease that comes first after the outage says what is the matter
		d.client.config.Logger.LogAttrs(ctx, slog.LevelDebug, "ready", slog.Any("err", err))
		return
	}
	for _, queue := range queues {
		d.want(queue)
	}
}
