package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
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
	rounds
	known   map[WorkerID]*remote
	cleared time.Time // when known was last rid of those who come no more
	lanes   map[Queue]*lane
	waiters map[*waiter]struct{}
	slots   chan struct{} // one for each lease statement
	empty   time.Time     // since when nobody waits
	polled  time.Time     // round's
}

func (d *dispatcher) open(c *Client) {
	d.rounds = rounds{client: c, of: d, channels: []string{ChannelReady, ChannelControl}, work: make(chan struct{}, 1)}
	d.known, d.lanes, d.waiters = map[WorkerID]*remote{}, map[Queue]*lane{}, map[*waiter]struct{}{}
	d.slots = make(chan struct{}, dispatchFlights)
}

// close answers all who wait, and returns when nothing is under way.
func (d *dispatcher) close() {
	d.mu.Lock()
	d.closed = true
	for w := range d.waiters {
		d.excuse(w)
	}
	d.mu.Unlock()
	d.stop()
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

func (d *dispatcher) wanted() bool { return len(d.waiters) > 0 || time.Since(d.empty) < dispatchLinger }

// round renews those who wait, and polls where nothing is announced.
func (d *dispatcher) round(ctx context.Context, _ bool) (next time.Duration, err error) {
	hearing := d.client.ear.hears(ChannelReady)
	wait := d.renewAll(ctx, hearing)
	every := d.client.config.Poll
	if hearing {
		every = max(every, dispatchPoll)
	}
	if time.Since(d.polled) >= every {
		d.polled = time.Now()
		d.poll(ctx)
	}
	return max(time.Millisecond, min(wait, every-time.Since(d.polled))), nil
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
