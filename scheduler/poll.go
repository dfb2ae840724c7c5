package scheduler

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Poll is what a remote worker asks for.
type Poll struct {
	Worker WorkerInfo      // its queues are taken from in order; it may take tasks of its kinds
	Max    int             // tasks, 1 and up
	Wait   time.Duration   // for the first; 0: not at all
	Stop   <-chan struct{} // closed: it waits no longer; nil: never
	Held   []Lease         // all that it has, when Tells
	Tells  bool            // what it leased more than 10 s ago and does not name is handed back
}

// Polled is what it gets.
type Polled struct {
	Command   Command
	ExpiresAt time.Time // when it is dead, and its leases are lost, unless it is heard of
	Tasks     []LeasedTask
}

// Poll enters a remote worker, or renews it, and takes tasks for it; while there are none, it waits and keeps the worker alive,
// without asking the database for each. A worker that was told to be quiet or to stop gets none, at once. When ctx ends, what was
// taken is handed back.
func (c *Client) Poll(ctx context.Context, p Poll) (Polled, error) {
	state, err := c.admit(ctx, p)
	if err != nil || state.Command != CommandRun {
		return Polled{Command: state.Command, ExpiresAt: state.ExpiresAt}, err
	}
	kinds := slices.Compact(slices.Sorted(slices.Values(p.Worker.Kinds)))
	w, mine := c.dispatch.join(p, kinds, p.Wait > 0)
	tasks, err := c.takeFirst(ctx, w, mine, p.Wait > 0)
	if err == nil && len(tasks) == 0 && p.Wait > 0 {
		tasks, err = c.dispatch.await(ctx, w, p)
	}
	if err != nil {
		return Polled{}, err
	}
	if ctx.Err() != nil {
		c.handIn(ctx, tasks)
		return Polled{}, ctx.Err()
	}
	c.counters.leased.Add(uint64(len(tasks)))
	state = c.dispatch.state(p.Worker.ID, state)
	return Polled{Command: state.Command, ExpiresAt: state.ExpiresAt, Tasks: tasks}, nil
}

// takeFirst looks into the lines where nobody stands before the poll, in order. Afterwards, with wait, it waits in all of
// them, unless it got something or failed.
func (c *Client) takeFirst(ctx context.Context, w *waiter, mine []*line, wait bool) (tasks []LeasedTask, err error) {
	if len(mine) > 1 {
		mine, err = c.withTasks(ctx, mine)
	}
	full, looked := []*line(nil), 0
	for _, l := range mine {
		left := w.max - len(tasks)
		if err != nil || left == 0 {
			break
		}
		var got [][]LeasedTask
		got, err = c.leaseRemote(ctx, []wish{{Ask: Ask{l.lane.queue, left}, worker: w.worker, kinds: l.kinds}})
		if err != nil {
			break
		}
		looked++
		tasks = append(tasks, got[0]...)
		if len(got[0]) == left {
			full = append(full, l)
		}
	}
	d := &c.dispatch
	d.mu.Lock()
	for _, l := range append(full, mine[looked:]...) {
		l.wanted = true
		d.launch(l.lane)
	}
	if err != nil || len(tasks) > 0 || !wait {
		w.busy = false
		d.leave(w)
		if len(tasks) > 0 {
			d.noteLeased(w.worker)
		}
	} else {
		d.free(w)
	}
	d.mu.Unlock()
	if err != nil { // the worker is told of none of them
		c.handIn(ctx, tasks)
		return nil, err
	}
	return tasks, nil
}

// withTasks returns those of the lines whose queues have ready tasks.
func (c *Client) withTasks(ctx context.Context, lines []*line) ([]*line, error) {
	ready, err := c.readyQueues(ctx)
	if err != nil || len(ready) == readyMost {
		return lines, err
	}
	return slices.DeleteFunc(lines, func(l *line) bool { return !slices.Contains(ready, l.lane.queue) }), nil
}

const readyMost = 1000 // of ready.sql

// await returns what a poll is served, nothing when the time is over or the worker was told to be quiet, or an error when nobody
// waits any more.
func (d *dispatcher) await(ctx context.Context, w *waiter, p Poll) ([]LeasedTask, error) {
	timer := time.NewTimer(p.Wait)
	defer timer.Stop()
	stop := p.Stop
	for {
		select {
		case tasks := <-w.served:
			return tasks, nil
		case <-stop:
			stop = nil
			timer.Reset(0)
		case <-timer.C:
			d.mu.Lock()
			d.excuse(w)
			d.mu.Unlock()
		case <-ctx.Done():
			d.mu.Lock()
			w.gone = true
			if !w.busy {
				d.leave(w)
			}
			d.mu.Unlock()
			select {
			case tasks := <-w.served: // in the meantime
				d.client.handIn(ctx, tasks)
			default:
			}
			return nil, ctx.Err()
		}
	}
}

// remote is a remote worker that has polled here lately.
type remote struct {
	info  WorkerInfo
	state remoteState
	at    time.Time // when it was renewed, by the local clock; zero: what is known of it is in doubt
	swept time.Time // its lease rows

	doubted time.Time // since when its state may have changed
}

// trusted reports whether what is known of the worker need not be asked for again.
func (r *remote) trusted(hearing bool) bool {
	trust := trustUnheard
	if hearing {
		trust = trustMost
	}
	return time.Since(r.at) < min(trust, r.state.ttl()/3)
}

// admit enters a worker, or renews it, unless that was done a moment ago, and hands back its strays.
func (c *Client) admit(ctx context.Context, p Poll) (remoteState, error) {
	d := &c.dispatch
	hearing := c.hears(ChannelControl)
	d.mu.Lock()
	r := d.known[p.Worker.ID]
	if r == nil || !r.trusted(hearing) || !r.same(p.Worker) {
		d.mu.Unlock()
		began := time.Now()
		state, err := c.enroll(ctx, p.Worker)
		if err != nil {
			return state, err
		}
		d.mu.Lock()
		r = d.admitted(p.Worker, state, began)
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

// admitted notes a worker whose state was asked for at began. d.mu is held.
func (d *dispatcher) admitted(info WorkerInfo, state remoteState, began time.Time) *remote {
	const most = 10_000
	if len(d.known) >= most {
		maps.DeleteFunc(d.known, func(_ WorkerID, r *remote) bool { return time.Since(r.at) > trustMost })
	}
	r := d.known[info.ID]
	if r == nil {
		r = &remote{}
		d.known[info.ID] = r
	}
	r.info = info
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
	if r := d.known[id]; r != nil {
		return r.state
	}
	return before
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
	if r := d.known[id]; r != nil {
		r.swept, r.state.Aged = time.Now(), true
	}
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

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// renewAll renews all who wait when the first of them has to be, and returns when the next one has.
func (d *dispatcher) renewAll(ctx context.Context, hearing bool) time.Duration {
	d.mu.Lock()
	ids := map[WorkerID]*remote{}
	next := time.Minute
	for w := range d.waiters {
		r := d.known[w.worker]
		if r == nil { // it has left, and polls all the same
			d.excuse(w)
			continue
		}
		ids[w.worker] = r
		if !r.trusted(hearing) {
			next = 0
		} else {
			next = min(next, r.due(hearing))
		}
	}
	d.mu.Unlock()
	if next > 0 {
		return next
	}
	call, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	began := time.Now()
	for list := range slices.Chunk(slices.Collect(maps.Keys(ids)), groupMost) {
		in := make([]renewal, len(list))
		for i, id := range list {
			in[i].id = id
		}
		answers, err := d.client.renewMany(call, in)
		if err != nil {
			d.client.config.Logger.LogAttrs(ctx, slog.LevelWarn, "heartbeat", slog.Any("err", err))
			return renewPause
		}
		for i, id := range list {
			if !d.renewed(call, ids[id].info, answers[i].out, began) {
				return renewPause
			}
		}
	}
	return time.Millisecond // to find the next
}

// due is how long the worker is trusted.
func (r *remote) due(hearing bool) time.Duration {
	trust := trustUnheard
	if hearing {
		trust = trustMost
	}
	return max(0, min(trust, r.state.ttl()/3)-time.Since(r.at))
}

// renewed takes in the state of a worker that waits. One that was declared dead is entered anew; one that was told to be quiet or to
// stop is answered.
func (d *dispatcher) renewed(ctx context.Context, info WorkerInfo, state remoteState, began time.Time) (ok bool) {
	if state.ID.IsZero() {
		var err error
		if state, err = d.client.enroll(ctx, info); err != nil {
			return false
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[info.ID] == nil { // it has left meanwhile
		return true
	}
	d.admitted(info, state, began)
	for w := range d.waiters {
		if w.worker == info.ID && state.Command != CommandRun {
			d.excuse(w)
		}
	}
	return true
}
