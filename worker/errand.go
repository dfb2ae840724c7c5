package worker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// errand is a task that a child was given.
type errand struct {
	attempt *attempt
	child   *child
	id      string
	frames  chan message  // checkpoints, then how it ended
	done    chan struct{} // closed when nobody reads frames any more, and its slot is free

	answered bool // it was said how it ended; this and the next are guarded by the pool's mu
	blamed   bool // the child is being ended because of it
}

// run serves one task; it is the handler of the children's kinds. No task waits for a child: the worker takes no more than
// there are free slots, and when a child has ended meanwhile the task is handed back.
func (c *Children) run(ctx context.Context, a *attempt) (json.RawMessage, error) {
	e := &errand{attempt: a, id: a.task.Task.String(), frames: make(chan message, 16), done: make(chan struct{})}
	if e.child = c.find(ctx, e.id); e.child == nil {
		return e.handBack(ctx)
	}
	defer close(e.done)
	defer c.release(e)
	e.child.catchUp() // what it printed before is not of this task
	task := a.task.Wire()
	if !e.child.begin(ctx, e, order{Op: "task", Task: &task}) {
		return e.handBack(ctx)
	}
	return e.await(ctx)
}

// find takes a slot for a task; nil: none is free. While there are only such of processes that have the task open from a lease that
// was lost, it waits: handed back, the task would come again at once, and again, until that attempt has ended.
func (c *Children) find(ctx context.Context, id string) *child {
	for {
		k, earlier := c.choose(id)
		if k != nil || earlier == nil {
			return k
		}
		select {
		case <-earlier.done:
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *errand) handBack(ctx context.Context) (json.RawMessage, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	e.attempt.cancel(errHandBack)
	return nil, errHandBack
}

// begin enters a task and gives it to the process that was chosen. It reports false when that has ended meanwhile, or is about to, or
// the task is to end.
func (k *child) begin(ctx context.Context, e *errand, task order) bool {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	k.coming--
	defer k.sayDrain()
	if isClosed(k.over) || k.condemned || k.open[e.id] != nil || ctx.Err() != nil {
		return false
	}
	k.open[e.id] = e
	k.last, k.stray = "", 0
	k.send(task)
	return true
}

// await waits until the child says how the task ended, or ends itself. While a checkpoint is being stored, which takes as long as the
// database does, it hears of the task's end all the same.
func (e *errand) await(ctx context.Context) (json.RawMessage, error) {
	told, frames := ctx.Done(), e.frames
	var saved chan struct{} // closed when the checkpoint is stored; nil: none is being
	var impatient <-chan time.Time
	for {
		select {
		case m := <-frames:
			if m.Op != "checkpoint" {
				return e.outcome(ctx, m)
			}
			frames, saved = nil, make(chan struct{})
			go func(saved chan<- struct{}) { e.save(ctx, m); close(saved) }(saved) // waited for before this returns
		case <-saved:
			frames, saved = e.frames, nil
		case <-told:
			told, impatient = nil, time.After(e.child.pool.command.killAfter)
			e.child.send(order{Op: "cancel", ID: e.id, Reason: reasonOf(context.Cause(ctx))})
		case <-impatient:
			e.child.condemn(e, "it did not answer cancel ("+reasonOf(context.Cause(ctx))+") within "+e.child.pool.command.killAfter.String())
		case <-e.child.over:
			if saved != nil {
				<-saved
			}
			return e.last(ctx)
		}
	}
}

// reasonOf names the cause of a context's end for the child.
func reasonOf(cause error) string {
	switch {
	case errors.Is(cause, ErrCancelled):
		return "cancelled"
	case errors.Is(cause, ErrTimeout):
		return "timeout"
	case errors.Is(cause, scheduler.ErrLeaseLost):
		return "lost"
	}
	return "shutdown"
}

// last reads what the child said before it ended.
func (e *errand) last(ctx context.Context) (json.RawMessage, error) {
	for {
		select {
		case m := <-e.frames:
			if m.Op != "checkpoint" {
				return e.outcome(ctx, m)
			}
			e.save(ctx, m)
		default:
			return e.crashed(ctx)
		}
	}
}

// crashed is the end of a task whose child has ended first. If that was because of another task, it is no failure.
func (e *errand) crashed(ctx context.Context) (json.RawMessage, error) {
	k := e.child
	k.pool.mu.Lock()
	innocent := k.condemned && !e.blamed
	k.pool.mu.Unlock()
	if innocent && ctx.Err() == nil {
		return e.handBack(ctx)
	}
	failure := &codedError{code: "worker_crashed", message: "the child process ended: " + k.obituary}
	if ctx.Err() != nil {
		failure.code = "error" // it was told to end: the reason for that is the code
	}
	return nil, failure
}

// outcome is what the child said of how the task ended.
func (e *errand) outcome(ctx context.Context, m message) (json.RawMessage, error) {
	switch m.Op {
	case "result":
		return notNull(m.Result), nil
	case "snooze":
		return nil, m.snoozed()
	}
	if ctx.Err() != nil && m.Code == "cancelled" {
		m.Code = "" // it was told to end: the reason for that is the code
	}
	return nil, m.failure()
}

// tell passes on a frame, once those before it are done with.
func (e *errand) tell(m message) {
	select {
	case e.frames <- m:
	case <-e.done:
	}
}

// hear takes in a frame that does not end the task.
func (e *errand) hear(m message, line string) {
	a := e.attempt
	switch m.Op {
	case "progress":
		a.heardProgress(m)
	case "log":
		a.log("log", m.Message)
	case "checkpoint":
		e.tell(m)
	default:
		a.log("log", "descriptor 3: unknown op: "+line)
	}
}

// save stores a checkpoint and answers it. It tries until the database has taken or refused it, or the task is to end.
func (e *errand) save(ctx context.Context, m message) {
	const first, most = 50 * time.Millisecond, 2 * time.Second
	for pause := first; ; pause = min(2*pause, most) {
		call, cancel := e.attempt.worker.nearAbort(context.WithoutCancel(ctx)) // also when it was told to end: the next attempt goes on from there
		err := e.attempt.saveCheckpoint(call, notNull(m.Checkpoint))
		cancel()
		switch {
		case err == nil:
			e.child.send(order{Op: "saved", ID: e.id})
			return
		case errors.Is(err, scheduler.ErrLeaseLost):
			return // the child is told
		case !scheduler.Unavailable(err):
			e.attempt.log("log", "descriptor 3: "+err.Error())
			e.child.send(order{Op: "saved", ID: e.id, Error: err.Error()})
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
