package scheduler

import (
	"maps"
	"slices"
	"time"
)

// lane is all who wait for tasks of a queue. lines are by kinds.
type lane struct {
	queue  Queue
	lines  map[string]*line
	flying bool
}

// line is all who wait for the same kinds of tasks of a queue, the longest waiting first.
type line struct {
	lane    *lane
	kinds   []string
	waiters []*waiter
	wanted  bool // there may be tasks
	pace    int  // how many are served next
}

// next returns the first n who are not being served already.
func (l *line) next(n int) (list []*waiter) {
	for _, w := range l.waiters {
		if !w.busy && !w.leaving && len(list) < n {
			list = append(list, w)
		}
	}
	return list
}

// waiter is one poll.
type waiter struct {
	worker  WorkerID
	running *int // tasks that the worker has; nil: it does not say
	max     int
	since   time.Time
	lines   []*line
	busy    bool // a lease is under way for it
	leaving bool // it wants to know how that ended, and nothing more
	gone    bool // nobody takes what that brings
	served  chan []LeasedTask
}

// join puts a poll into its lines, busy. mine are those lines where nobody else is before it, and tasks may be.
func (d *dispatcher) join(p Poll, kinds []string, wait bool) (w *waiter, mine []*line) {
	key := newWay("", kinds).kinds
	w = &waiter{worker: p.Worker.ID, running: p.running(), max: p.Max, since: time.Now(), busy: true, served: make(chan []LeasedTask, 1)}
	hearing := d.client.ear.hears(ChannelReady)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, queue := range p.Worker.Queues {
		its := d.lanes[queue]
		if its == nil {
			its = &lane{queue: queue, lines: map[string]*line{}}
			d.lanes[queue] = its
		}
		l := its.lines[key]
		if l == nil {
			l = &line{lane: its, kinds: kinds, wanted: true, pace: 1}
			its.lines[key] = l
		}
		if !wait || l.wanted && len(l.waiters) == 0 {
			l.wanted = false // what comes from now on makes it true again
			mine = append(mine, l)
		}
		l.waiters = append(l.waiters, w)
		w.lines = append(w.lines, l)
	}
	d.waiters[w] = struct{}{}
	if wait && !d.running {
		d.polled = time.Now()
		d.start(d.client.config.Poll)
	}
	if its := d.known[w.worker]; wait && its != nil {
		d.by(time.Now().Add(its.due(hearing)))
	}
	return w, mine
}

// leave takes a poll out. d.mu is held.
func (d *dispatcher) leave(w *waiter) {
	if _, in := d.waiters[w]; !in {
		return
	}
	delete(d.waiters, w)
	for _, l := range w.lines {
		l.waiters = slices.DeleteFunc(l.waiters, func(other *waiter) bool { return other == w })
		if len(l.waiters) == 0 {
			maps.DeleteFunc(l.lane.lines, func(_ string, other *line) bool { return other == l })
		}
		if len(l.lane.lines) == 0 && d.lanes[l.lane.queue] == l.lane {
			delete(d.lanes, l.lane.queue)
		}
	}
	if len(d.waiters) == 0 {
		d.empty = time.Now()
	}
}

// free lets a poll be served again after a lease that brought it nothing. d.mu is held.
func (d *dispatcher) free(w *waiter) {
	w.busy = false
	switch {
	case w.gone:
		d.leave(w)
	case w.leaving || d.closed:
		d.leave(w)
		w.served <- nil
	default:
		for _, l := range w.lines {
			if l.wanted {
				d.launch(l.lane)
			}
		}
	}
}

// excuse answers a poll that nothing came. d.mu is held.
func (d *dispatcher) excuse(w *waiter) {
	if w.busy {
		w.leaving = true
		return
	}
	if _, in := d.waiters[w]; in {
		d.leave(w)
		w.served <- nil
	}
}

// choose takes those who are served next: of the lines where tasks may be, the one whose first has waited longest. d.mu is held.
func (its *lane) choose() (l *line, chosen []*waiter) {
	for _, other := range its.lines {
		if !other.wanted {
			continue
		}
		if first := other.next(1); first != nil && (l == nil || first[0].since.Before(chosen[0].since)) {
			l, chosen = other, first
		}
	}
	if l == nil {
		return nil, nil
	}
	chosen = l.next(l.pace)
	for _, w := range chosen {
		w.busy = true
	}
	l.wanted = false
	return l, chosen
}
