package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Info is what a handler may want to know of its task.
type Info struct {
	ID          scheduler.TaskID
	Queue       scheduler.Queue
	Kind        string
	Attempt     int // counts leases, from 1; the same task may be running twice only with different attempts
	Failures    int // attempts that failed before this one
	MaxAttempts int
	Priority    int
	Payload     json.RawMessage
	RunAt       time.Time
	CreatedAt   time.Time
	Schedule    string          // the schedule that made it; "": submitted
	TickAt      time.Time       // the tick it stands for; zero: none
	TraceParent string          // W3C traceparent of this run, for calls of other programs; "": it belongs to no trace
	Checkpoint  json.RawMessage // what an earlier attempt stored by SaveCheckpoint; nil: nothing
	Topic       string          // of the message that it was made of, see scheduler.Client.Publish; "": it was not published
	MessageID   int64           // that message, the same for the tasks of all subscriptions; 0: none
}

// Task is one attempt as its handler sees it. Its methods are safe for concurrent use until the handler returns.
type Task[Args any] struct {
	Info
	Args    Args
	attempt *attempt
}

// Report tells how far the task is: current of total units (total 0: unknown) and a message. It costs nothing much: the
// newest report of a task is written within 250 ms, together with those of other tasks, and before the task ends. It
// returns the cause when the handler's context has ended: stop then.
func (t *Task[Args]) Report(current, total int64, message string) error {
	return t.attempt.report(scheduler.Progress{Current: current, Total: total, Message: message})
}

// ReportData is Report with any JSON value beside it.
func (t *Task[Args]) ReportData(p scheduler.Progress) error { return t.attempt.report(p) }

// ReportTx writes progress within the handler's own transaction: it is seen when that commits. Keep the transaction short
// from here on: a cancel of the task waits for it. It returns scheduler.ErrLeaseLost when the lease is lost: roll back.
func (t *Task[Args]) ReportTx(ctx context.Context, tx pgx.Tx, current, total int64, message string) error {
	return t.attempt.reportTx(ctx, tx, scheduler.Progress{Current: current, Total: total, Message: message})
}

// CompleteTx completes the task within the handler's own transaction: what it wrote there and the completion commit
// together or not at all, so that the effect happens exactly once. Commit, then return nil; the handler's own result is not
// stored. It returns scheduler.ErrLeaseLost when the lease is lost: roll back. A handler that returns without having
// committed has failed its attempt. What is reported or logged after it may be dropped.
func (t *Task[Args]) CompleteTx(ctx context.Context, tx pgx.Tx, result any) error {
	raw, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return t.attempt.completeTx(ctx, tx, notNull(raw))
}

// SaveCheckpoint stores a JSON value that the next attempt finds as Info.Checkpoint, should this one fail or its worker die;
// nil forgets it. When it returns nil the value is committed. It returns scheduler.ErrLeaseLost when the lease is lost: stop.
func (t *Task[Args]) SaveCheckpoint(ctx context.Context, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return t.attempt.saveCheckpoint(ctx, notNull(raw))
}

// Lease is the right to end this attempt. Another program may use its Token over HTTP; see ErrEndedElsewhere.
func (t *Task[Args]) Lease() scheduler.Lease { return t.attempt.task.Lease }

// Log adds a line to the task's log, cut to 8 KiB; at most 10,000 lines an attempt. Lines are written in batches, within
// 250 ms, and before the task ends.
func (t *Task[Args]) Log(format string, args ...any) {
	t.attempt.log("log", fmt.Sprintf(format, args...))
}
