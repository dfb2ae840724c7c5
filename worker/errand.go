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
	done    chan struct{} // closed when nobody reads frames any more

	answered bool // it was said how it ended; this and the next are guarded by the pool's mu
	blamed   bool // the child is being ended because of it
}

// run serves one task; it is the handler of the children's kinds. No task waits for a child: the worker takes no more than
// there are free slots, and when a child has ended meanwhile the task is handed back.
func (c *Children) run(ctx context.Context, a *attempt) (json.RawMessage, error) {
	e := &errand{attempt: a, id: a.task.Task.String(), frames: make(chan message, 16), done: make(chan struct{})}
	if e.child = c.choose(e.id); e.child == nil {
		return e.handBack()
	}
	defer c.release(e.child, e.id)
	defer close(e.done)
	e.child.catchUp() // what it printed before is not of this task
	task := a.task.Wire()
	if !e.child.begin(e, order{Op: "task", Task: &task}) {
		return e.handBack()
	}
	return e.await(ctx)
}

func (e *errand) handBack() (json.RawMessage, error) {
	e.attempt.cancel(errHandBack)
	return nil, errHandBack
}

// begin enters a task and gives it to the process. It reports false when that has ended meanwhile, or is about to: after drain
// nothing more may come.
func (k *child) begin(e *errand, task order) bool {
	k.pool.mu.Lock()
	defer k.pool.mu.Unlock()
	if isClosed(k.over) || !k.available() {
		return false
	}
	k.open[e.id] = e
	k.last, k.stray = "", 0
	k.send(task)
	return true
}

// await waits until the child says how the task ended, or ends itself.
func (e *errand) await(ctx context.Context) (json.RawMessage, error) {
	told := ctx.Done()
	var impatient <-chan time.Time
	for {
		select {
		case m := <-e.frames:
			if m.Op != "checkpoint" {
				return e.outcome(ctx, m)
			}
			e.save(ctx, m)
		case <-told:
			told, impatient = nil, time.After(e.child.pool.command.killAfter)
			e.child.send(order{Op: "cancel", ID: e.id, Reason: reasonOf(context.Cause(ctx))})
		case <-impatient:
			e.child.condemn(e, "it did not answer cancel ("+reasonOf(context.Cause(ctx))+") within "+e.child.pool.command.killAfter.String())
		case <-e.child.over:
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
		return e.handBack()
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
