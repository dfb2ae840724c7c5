package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// maxLines is how many log lines an attempt may write.
const maxLines = 10000

// attempt is one leased task from its lease to its end.
type attempt struct {
	worker  *Worker
	session *session
	gang    *gang
	counts  *laneCounts
	task    scheduler.LeasedTask
	ctx     context.Context // of the handler; kept because Report and Log are told to stop by it
	cancel  context.CancelCauseFunc
	began   time.Time     // when its lease arrived
	waited  time.Duration // from when it was due

	noted     atomic.Bool // something was reported or logged
	writtenAt time.Time   // when its progress was last taken to be written; the journal's
	mu        sync.Mutex
	progress  *scheduler.Progress // reported and not written yet
	lines     int                 // logged so far
	inTx      bool                // CompleteTx was called
}

func newAttempt(ctx context.Context, w *Worker, s *session, g *gang, counts *laneCounts, task scheduler.LeasedTask) *attempt {
	now := time.Now()
	a := &attempt{worker: w, session: s, gang: g, counts: counts, task: task, began: now, waited: now.Sub(task.RunAt)}
	ctx, cancel := context.WithCancelCause(a.trace(ctx))
	a.ctx, a.cancel = ctx, cancel
	if task.Timeout > 0 {
		timed, stop := context.WithTimeoutCause(ctx, task.Timeout, ErrTimeout)
		a.ctx = timed
		a.cancel = func(cause error) { cancel(cause); stop() }
	}
	return a
}

func (a *attempt) info() Info {
	t := a.task
	return Info{ID: t.Task, Queue: t.Queue, Kind: t.Kind, Attempt: t.Attempt, Failures: t.Failures, MaxAttempts: t.MaxAttempts,
		Priority: t.Priority, Payload: t.Payload, RunAt: t.RunAt, CreatedAt: t.CreatedAt, Schedule: t.Schedule, TickAt: t.TickAt, TraceParent: t.TraceParent,
		Topic: t.Topic, MessageID: t.MessageID,
		Checkpoint: t.Checkpoint}
}

func (a *attempt) report(p scheduler.Progress) error {
	if a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	if p.Data != nil {
		if err := scheduler.CheckJSON(p.Data); err != nil {
			return fmt.Errorf("progress data: %w", err)
		}
	}
	a.mu.Lock()
	a.progress = &p
	a.mu.Unlock()
	a.worker.journal.dirty(a)
	return nil
}

// takeProgress returns what was reported and not written yet.
func (a *attempt) takeProgress() *scheduler.Progress {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.progress
	a.progress = nil
	return p
}

// putBack undoes takeProgress, unless something newer was reported.
func (a *attempt) putBack(p scheduler.Progress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.progress == nil {
		a.progress = &p
	}
}

func (a *attempt) reportTx(ctx context.Context, tx pgx.Tx, p scheduler.Progress) error {
	a.worker.journal.withdraw(a) // older than p
	err := a.worker.client.ReportTx(ctx, tx, scheduler.Report{Lease: a.task.Lease, Progress: p})
	return a.noticeLoss(err)
}

func (a *attempt) completeTx(ctx context.Context, tx pgx.Tx, result json.RawMessage) error {
	if result != nil {
		if err := scheduler.CheckJSON(result); err != nil {
			return fmt.Errorf("result: %w", err)
		}
	}
	if err := a.worker.journal.writeLines(ctx, a); err != nil {
		return err
	}
	if p := a.worker.journal.withdraw(a); p != nil {
		if err := a.reportTx(ctx, tx, *p); err != nil {
			return err
		}
	}
	a.mu.Lock()
	a.inTx = true
	a.mu.Unlock()
	return a.noticeLoss(a.worker.client.CompleteTx(ctx, tx, a.task.Lease, result))
}

func (a *attempt) saveCheckpoint(ctx context.Context, value json.RawMessage) error {
	return a.noticeLoss(a.worker.client.SaveCheckpoint(ctx, a.task.Lease, value))
}

func (a *attempt) calledCompleteTx() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inTx
}

// count tells the statistics what became of the task.
func (a *attempt) count(state scheduler.State, out outcome) {
	a.worker.client.Count(scheduler.Ended{Queue: a.task.Queue, Kind: a.task.Kind, State: state, Ran: out.took, Waited: a.waited})
}

// noticeLoss ends the handler's context when a write found the lease lost.
func (a *attempt) noticeLoss(err error) error {
	if err == scheduler.ErrLeaseLost { //nolint:errorlint // returned as it is
		a.cancel(scheduler.ErrLeaseLost)
	}
	return err
}

func (a *attempt) log(stream, message string) {
	a.mu.Lock()
	a.lines++
	n := a.lines
	a.mu.Unlock()
	switch {
	case n > maxLines+1:
		return
	case n == maxLines+1:
		message = fmt.Sprintf("… further lines of this attempt are dropped: it wrote more than %d", maxLines)
	}
	a.worker.journal.add(a, scheduler.Line{Lease: a.task.Lease, At: time.Now(), Stream: stream, Message: message})
}
