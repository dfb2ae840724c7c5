package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Task is one row of scheduler.tasks. Pointers and raw JSON are nil where the column is NULL.
type Task struct {
	ID                TaskID          `db:"id"`
	Queue             Queue           `db:"queue"`
	Kind              string          `db:"kind"`
	State             State           `db:"state"`
	Priority          int             `db:"priority"` // lower runs first
	Attempt           int             `db:"attempt"`  // leases so far; only grows
	Failures          int             `db:"failures"` // failed attempts since submit or the last retry
	Crashes           int             `db:"crashes"`  // workers lost since submit or the last retry
	MaxAttempts       int             `db:"max_attempts"`
	RunAt             time.Time       `db:"run_at"`
	CreatedAt         time.Time       `db:"created_at"`
	StartedAt         *time.Time      `db:"started_at"` // of the present or last attempt
	FinishedAt        *time.Time      `db:"finished_at"`
	WorkerID          *WorkerID       `db:"worker_id"`
	Worker            *string         `db:"worker"` // its name; nil once it is gone
	Revision          int64           `db:"revision"`
	Payload           json.RawMessage `db:"payload"`
	Result            json.RawMessage `db:"result"`
	ErrorCode         *string         `db:"error_code"`
	Error             *string         `db:"error"`
	ProgressCurrent   *int64          `db:"progress_current"`
	ProgressTotal     *int64          `db:"progress_total"`
	ProgressMessage   *string         `db:"progress_message"`
	ProgressData      json.RawMessage `db:"progress_data"`
	ProgressAt        *time.Time      `db:"progress_at"`
	TimeoutMS         *int64          `db:"timeout_ms"`
	BackoffMS         []int64         `db:"backoff_ms"`
	ExpiresAt         *time.Time      `db:"expires_at"`
	CancelRequestedAt *time.Time      `db:"cancel_requested_at"`
	UniqueKey         *string         `db:"unique_key"`
	IdempotencyKey    *string         `db:"idempotency_key"`
	Schedule          *string         `db:"schedule"`
	TickAt            *time.Time      `db:"tick_at"`
	Topic             *string         `db:"topic"`      // of the message that it was made of; nil: it was not published
	MessageID         *int64          `db:"message_id"` // that message
	Tags              []string        `db:"tags"`       // sorted
	TraceParent       *string         `db:"trace"`      // W3C traceparent of the request that submitted it
}

// Task returns the task, or ErrNotFound.
func (c *Client) Task(ctx context.Context, id TaskID) (Task, error) {
	return one[Task](ctx, c.reads, "read task", sql.Task, pgx.StrictNamedArgs{"id": id})
}

// null turns a zero value into SQL NULL.
func null[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Outcome of a Cancel.
type Outcome struct {
	State     State
	Requested bool // it runs: its worker was told, and it ends cancelled unless it completes first
}

// Cancel stops a task: at once when it does not run, else by cancelling the context of its handler, within a second when
// notifications flow and a heartbeat otherwise. A completion that commits first wins. reason is shown to people; "": a
// standard one. It returns *StateError for a task that is final, ErrNotFound for an unknown one.
func (c *Client) Cancel(ctx context.Context, id TaskID, reason string) (Outcome, error) {
	args := by(ctx, pgx.StrictNamedArgs{"id": id, "reason": null(CleanText(reason, 1000))})
	out, err := one[Outcome](ctx, c.pool, "cancel", sql.Cancel, args)
	if errors.Is(err, ErrNotFound) {
		return out, c.refused(ctx, id, "cancel")
	}
	return out, err
}

// Retry brings a failed or cancelled task back, ready at once, with its failures and crashes forgotten and its history
// kept. It returns *StateError for a task in another state, ErrNotFound for an unknown one, ErrKeyHeld when another task
// holds its unique key by now.
func (c *Client) Retry(ctx context.Context, id TaskID) (State, error) {
	type row struct{ State State }
	r, err := one[row](ctx, c.pool, "retry", sql.Retry, by(ctx, pgx.StrictNamedArgs{"id": id}))
	switch {
	case errors.Is(err, ErrNotFound):
		return "", c.refused(ctx, id, "retry")
	case violates(err, "tasks_active_key"):
		return "", ErrKeyHeld
	}
	return r.State, err
}

// Delete removes a final task with its attempts and logs. It returns *StateError for a task that is not final,
// ErrNotFound for an unknown one.
func (c *Client) Delete(ctx context.Context, id TaskID) error {
	type row struct{ ID TaskID }
	_, err := one[row](ctx, c.pool, "delete", sql.Delete, by(ctx, pgx.StrictNamedArgs{"id": id}))
	if errors.Is(err, ErrNotFound) {
		return c.refused(ctx, id, "delete")
	}
	return err
}

// refused says why a guarded statement found no row. The state is read afterwards, for the message only.
func (c *Client) refused(ctx context.Context, id TaskID, verb string) error {
	task, err := c.Task(ctx, id)
	if err != nil {
		return err
	}
	return &StateError{Task: id, State: task.State, Verb: verb}
}

// Attempt is one lease of a task.
type Attempt struct {
	Attempt   int        `db:"attempt"`
	Outcome   string     `db:"outcome"` // running, completed, failed, snoozed, released, crashed, cancelled
	WorkerID  WorkerID   `db:"worker_id"`
	Worker    *string    `db:"worker"`
	StartedAt time.Time  `db:"started_at"`
	EndedAt   *time.Time `db:"ended_at"`
	ErrorCode *string    `db:"error_code"`
	Error     *string    `db:"error"`
	Stack     *string    `db:"stack"`
}

// Attempts returns the attempts of a task, oldest first, or ErrNotFound.
func (c *Client) Attempts(ctx context.Context, id TaskID) ([]Attempt, error) {
	list, err := all[Attempt](ctx, c.reads, "list attempts", sql.Attempts, pgx.StrictNamedArgs{"id": id})
	return list, c.orUnknown(ctx, id, len(list), err)
}

// EndedAttempt is an attempt that did not complete its task.
type EndedAttempt struct {
	TaskID    TaskID    `db:"task_id"`
	Queue     Queue     `db:"queue"`
	Kind      string    `db:"kind"`
	Attempt   int       `db:"attempt"`
	Outcome   string    `db:"outcome"` // failed, snoozed, released, crashed, cancelled
	WorkerID  WorkerID  `db:"worker_id"`
	Worker    *string   `db:"worker"`
	StartedAt time.Time `db:"started_at"`
	EndedAt   time.Time `db:"ended_at"`
	ErrorCode *string   `db:"error_code"`
	Error     *string   `db:"error"`
}

// RecentAttempts returns up to limit attempts that did not complete their task, the last ended first.
func (c *Client) RecentAttempts(ctx context.Context, limit int) ([]EndedAttempt, error) {
	return all[EndedAttempt](ctx, c.reads, "list recent attempts", sql.AttemptsRecent, pgx.StrictNamedArgs{"limit": limit})
}

// LogLine is one line that a handler wrote.
type LogLine struct {
	ID      int64     `db:"id"` // grows within a task
	Attempt int       `db:"attempt"`
	At      time.Time `db:"at"`
	Stream  string    `db:"stream"` // log, stdout, stderr
	Message string    `db:"message"`
}

// Logs returns up to limit (1 to 1000) lines of a task whose id is greater than after, in order, or ErrNotFound.
func (c *Client) Logs(ctx context.Context, id TaskID, after int64, limit int) ([]LogLine, error) {
	if limit < 1 || limit > 1000 {
		return nil, invalid("limit", "1 to 1000")
	}
	list, err := all[LogLine](ctx, c.reads, "list logs", sql.Logs, pgx.StrictNamedArgs{"id": id, "after": after, "limit": limit})
	return list, c.orUnknown(ctx, id, len(list), err)
}

// LastLogs returns the last lines of a task, up to limit (1 to 1000) of those whose id is greater than after, in order. Of a task
// that is not there it returns none.
func (c *Client) LastLogs(ctx context.Context, id TaskID, after int64, limit int) ([]LogLine, error) {
	if limit < 1 || limit > 1000 {
		return nil, invalid("limit", "1 to 1000")
	}
	return all[LogLine](ctx, c.reads, "list last logs", sql.LogsTail, pgx.StrictNamedArgs{"id": id, "after": after, "limit": limit})
}

// Reason is why a task does not run, or that it does.
type Reason struct {
	Code   string `db:"code"`   // stable
	Reason string `db:"reason"` // a sentence
	Fix    string `db:"fix"`    // a command or advice; may be empty
}

// Explain returns the reasons why a task does not run, the one to mend first on top, or ErrNotFound.
func (c *Client) Explain(ctx context.Context, id TaskID) ([]Reason, error) {
	list, err := all[Reason](ctx, c.reads, "explain", sql.Explain, pgx.StrictNamedArgs{"id": id})
	return list, c.orUnknown(ctx, id, len(list), err)
}

// orUnknown returns err, or ErrNotFound when nothing was found because there is no such task.
func (c *Client) orUnknown(ctx context.Context, id TaskID, found int, err error) error {
	if err != nil || found > 0 {
		return err
	}
	_, err = c.Task(ctx, id)
	return err
}

// Wait returns the task once it is final or ctx has ended, whichever is first; it then is as last read, with a nil error.
// Many who wait cost the database no more than one; see Watcher.
func (c *Client) Wait(ctx context.Context, id TaskID) (Task, error) {
	return c.WaitUntil(ctx, id, 0, func(t Task) bool { return t.State.Done() })
}

// WaitUntil is Wait for what holds says of the task. seen is as WatchFrom.Revision: what was before that is neither asked about nor
// returned; 0: none was seen.
func (c *Client) WaitUntil(ctx context.Context, id TaskID, seen int64, holds func(Task) bool) (Task, error) {
	w := c.Watcher()
	defer w.Close()
	w.Add(id, WatchFrom{NoLines: true, Revision: seen})
	reading, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
	_, change, err := w.Next(reading)
	cancel()
	for err == nil && !holds(change.Latest.Task) {
		var next Change
		if _, next, err = w.Next(ctx); err == nil {
			change = next
		}
	}
	if change.Latest == nil {
		return Task{}, err
	}
	if ctx.Err() != nil {
		err = nil
	}
	return change.Latest.Task, err
}
