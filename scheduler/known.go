package scheduler

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// remote is a remote worker that has polled here lately.
type remote struct {
	info  WorkerInfo
	state remoteState
	at    time.Time // when it was renewed, by the local clock; zero: what is known of it is in doubt
	asked time.Time // when that was asked for
	swept time.Time // its lease rows

	doubted time.Time // since when its state may have changed
}

// trust is how long what is known of the worker need not be asked for again.
func (r *remote) trust(hearing bool) time.Duration {
	if hearing {
		return min(trustMost, r.state.ttl()/3)
	}
	return min(trustUnheard, r.state.ttl()/3)
}

func (r *remote) trusted(hearing bool) bool { return time.Since(r.at) < r.trust(hearing) }

// admit enters a worker, or renews it, unless that was done a moment ago, and hands back its strays.
func (c *Client) admit(ctx context.Context, p Poll) (remoteState, error) {
	d := &c.dispatch
	hearing := c.ear.hears(ChannelControl)
	d.mu.Lock()
	r := d.known[p.Worker.ID]
	if r == nil || !r.trusted(hearing) || !r.same(p.Worker) {
		if r == nil { // so that it is noted when its state is doubted while it is asked for
			r = &remote{info: p.Worker, asked: time.Now()}
			d.known[p.Worker.ID] = r
		}
		d.mu.Unlock()
		began := time.Now()
		state, err := c.enroll(ctx, p.Worker, p.running())
		if err != nil {
			d.giveUp(p.Worker.ID, r)
			return state, err
		}
		d.mu.Lock()
		before := r
		if r = d.admitted(p.Worker, state, began); r != before { // it was dismissed meanwhile
			r.at = time.Time{}
		}
	}
	state := r.state
	sweep := state.Aged && time.Since(r.swept) >= strayAfter
	if sweep {
		r.swept = time.Now()
	}
	d.mu.Unlock()
	if !sweep {
		return state, nil
	}
	strays, err := c.sweep(ctx, p.Worker.ID, p.Held, p.Tells, strayAfter)
	if err == nil {
		err = c.releaseStrays(ctx, strays)
	}
	return state, err
}

// giveUp forgets a worker that could not be entered, unless it is known by now.
func (d *dispatcher) giveUp(id WorkerID, r *remote) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[id] == r && r.state.ID.IsZero() {
		delete(d.known, id)
	}
}

// admitted notes a worker whose state was asked for at began. d.mu is held.
func (d *dispatcher) admitted(info WorkerInfo, state remoteState, began time.Time) *remote {
	if time.Since(d.cleared) > time.Minute {
		d.cleared = time.Now()
		maps.DeleteFunc(d.known, func(_ WorkerID, r *remote) bool { return time.Since(r.asked) > time.Minute })
	}
	r := d.known[info.ID]
	if r == nil {
		r = &remote{}
		d.known[info.ID] = r
	}
	r.info, r.asked = info, time.Now()
	r.take(state, began)
	return r
}

func (r *remote) take(state remoteState, began time.Time) {
	r.state, r.at = state, began
	if r.doubted.After(began) {
		r.at = time.Time{}
	}
}

func (r *remote) same(w WorkerInfo) bool {
	its := r.info
	return slices.Equal(its.Queues, w.Queues) && slices.Equal(its.Kinds, w.Kinds) && its.Name == w.Name && its.Host == w.Host && its.PID == w.PID &&
		its.Version == w.Version && its.Language == w.Language && its.Slots == w.Slots && its.TTL == w.TTL
}

// state returns what is known of the worker by now.
func (d *dispatcher) state(id WorkerID, before remoteState) remoteState {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.known[id]; r != nil && !r.state.ID.IsZero() { // else it is being asked for
		return r.state
	}
	return before
}

func (d *dispatcher) knows(id WorkerID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known[id] != nil
}

// noteRenewed takes in that the worker was renewed.
func (d *dispatcher) noteRenewed(id WorkerID, state remoteState, began time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.known[id]
	switch {
	case r == nil:
	case state.ID.IsZero():
		delete(d.known, id)
	default:
		r.take(state, began)
	}
}

// noteLeased takes in that the worker has a lease row by now, to be swept one day. d.mu is held.
func (d *dispatcher) noteLeased(id WorkerID) {
	r := d.known[id]
	if r == nil {
		return
	}
	if !r.state.Aged { // else it is due anyway: a worker that is never idle must not put it off
		r.swept = time.Now()
	}
	r.state.Aged = true
}

// dismiss ends the polls of a worker that leaves.
func (d *dispatcher) dismiss(id WorkerID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, id)
	for w := range d.waiters {
		if w.worker == id {
			d.excuse(w)
		}
	}
}

// doubt has a worker asked for anew, or all of them, since their commands may have changed.
func (d *dispatcher) doubt(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for its, r := range d.known {
		if id == "*" || its.String() == id {
			r.at, r.doubted = time.Time{}, time.Now()
		}
	}
	nudge(d.work)
}

// told takes in what this process has told a worker, so that its polls here that wait, and those that come, get no task, however late
// that is announced. One that is taking just then may still get some.
func (d *dispatcher) told(id WorkerID, command Command) {
	d.doubt(id.String())
	if command == CommandRun {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.known[id]; r != nil {
		r.state.Command = command
	}
	for w := range d.waiters {
		if w.worker == id {
			d.excuse(w)
		}
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// renewAll renews all who wait when the first of them has to be, and returns when the next one has.
func (d *dispatcher) renewAll(ctx context.Context, hearing bool) time.Duration {
	d.mu.Lock()
	infos, running := map[WorkerID]WorkerInfo{}, map[WorkerID]*int{}
	next := time.Minute
	for w := range d.waiters {
		r := d.known[w.worker]
		if r == nil { // it has left, and polls all the same
			d.excuse(w)
			continue
		}
		infos[w.worker], running[w.worker] = r.info, w.running
		next = min(next, r.due(hearing))
	}
	d.mu.Unlock()
	if next > 0 {
		return next
	}
	call, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	began := time.Now()
	for list := range slices.Chunk(slices.Collect(maps.Keys(infos)), groupMost) {
		in := make([]renewal, len(list))
		for i, id := range list {
			in[i].id, in[i].running = id, running[id]
		}
		answers, err := d.client.renewMany(call, in)
		if err != nil {
			d.client.config.Logger.LogAttrs(ctx, slog.LevelWarn, "heartbeat", slog.Any("err", err))
			return renewPause
		}
		for i, id := range list {
			if !d.renewed(call, infos[id], answers[i].out, began) {
				return renewPause
			}
		}
	}
	return time.Millisecond // to find the next
}

// due is when the worker is to be renewed, should it wait: well before it is no longer trusted, lest polls of many do that one by one.
func (r *remote) due(hearing bool) time.Duration {
	return max(0, r.trust(hearing)*3/4-time.Since(r.at))
}

// renewed takes in the state of a worker that waits. One that was declared dead is entered anew, and gets what it was passed over
// for; one that was told to be quiet or to stop is answered.
func (d *dispatcher) renewed(ctx context.Context, info WorkerInfo, state remoteState, began time.Time) (ok bool) {
	anew := state.ID.IsZero() && d.knows(info.ID) // else it has left: who leaves is forgotten here before its row goes
	if anew {
		var err error
		if state, err = d.client.enroll(ctx, info, nil); err != nil {
			return false
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[info.ID] == nil || state.ID.IsZero() { // it has left meanwhile, or has come back since
		return true
	}
	d.admitted(info, state, began)
	for w := range d.waiters {
		switch {
		case w.worker != info.ID:
		case state.Command != CommandRun:
			d.excuse(w)
		case anew:
			for _, l := range w.lines {
				l.wanted = true
				d.launch(l.lane)
			}
		}
	}
	return true
}
