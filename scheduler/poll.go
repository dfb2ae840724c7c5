package scheduler

import (
	"context"
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

// running is how many tasks the worker has; nil: it does not say.
func (p Poll) running() *int {
	if !p.Tells {
		return nil
	}
	n := len(p.Held)
	return &n
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
	c.counters.remote.begin(tasks, c.Now())
	state = c.dispatch.state(p.Worker.ID, state)
	return Polled{Command: state.Command, ExpiresAt: state.ExpiresAt, Tasks: tasks}, nil
}

// takeFirst looks into the lines where nobody stands before the poll, in order. Afterwards, with wait, it waits in all of
// them, unless it got something or failed.
func (c *Client) takeFirst(ctx context.Context, w *waiter, mine []*line, wait bool) (tasks []LeasedTask, err error) {
	ctx = context.WithoutCancel(ctx) // what is leased must be known, to be handed back
	if len(mine) > 1 {
		mine, err = c.withTasks(ctx, mine)
	}
	full, looked, size := []*line(nil), 0, 0
	for _, l := range mine {
		left := w.max - len(tasks)
		if err != nil || left == 0 || size >= answerBytes {
			break
		}
		var got [][]LeasedTask
		got, err = c.leaseRemote(ctx, []wish{{Ask: Ask{l.lane.queue, left}, worker: w.worker, kinds: l.kinds, bound: true}})
		if err != nil {
			break
		}
		looked++
		tasks = append(tasks, got[0]...)
		for _, task := range got[0] {
			size += len(task.Payload) + len(task.Checkpoint)
		}
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
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
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
