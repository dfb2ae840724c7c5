package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// RunNow makes a scheduled task ready before its time. It returns *StateError for a task in another state, ErrNotFound for an
// unknown one.
func (c *Client) RunNow(ctx context.Context, id TaskID) (State, error) {
	type row struct{ State State }
	r, err := one[row](ctx, c.pool, "run now", sql.RunNow, by(ctx, pgx.StrictNamedArgs{"id": id}))
	if errors.Is(err, ErrNotFound) {
		return "", c.refused(ctx, id, "run")
	}
	return r.State, err
}

// Edit is what to change of a task; nil leaves it as it is. Bounds are those of NewTask.
type Edit struct {
	Payload     any
	Priority    *int
	RunAt       *time.Time // the zero time: now; a task that waits or is ready becomes what fits the time
	MaxAttempts *int
	Timeout     *time.Duration   // 0: none
	ExpiresAt   *time.Time       // the zero time: never
	Backoff     *[]time.Duration // empty: exponential
	Tags        *[]string        // empty: none

	Revision int64 // do it only when this is the task's revision; 0: whatever it is
}

// Edit changes what a task was submitted with, as long as it neither runs nor is completed. A failed or cancelled task stays so;
// its next retry has what was changed. It returns *InvalidError for values out of bounds or when nothing is to be changed,
// *StateError for a task that runs or is completed, ErrRevision when the task has another revision, ErrNotFound for an unknown
// one.
func (c *Client) Edit(ctx context.Context, id TaskID, e Edit) error {
	args, err := e.args()
	if err != nil {
		return err
	}
	args["id"], args["revision"] = id, null(e.Revision)
	type row struct {
		Queue   Queue
		State   State
		DelayMS int64
	}
	r, err := one[row](ctx, c.pool, "edit", sql.Edit, by(ctx, args))
	switch {
	case errors.Is(err, ErrNotFound):
		return c.notEdited(ctx, id, e.Revision)
	case err != nil:
		return err
	case r.State == Scheduled:
		wait := time.Duration(max(0, r.DelayMS)) * time.Millisecond
		c.dueIn(wait)
		if wait < pollMost {
			c.hints.hintDue(wait)
		}
	}
	return nil
}

// notEdited says why an edit found no row.
func (c *Client) notEdited(ctx context.Context, id TaskID, revision int64) error {
	task, err := c.Task(ctx, id)
	switch {
	case err != nil:
		return err
	case revision != 0 && task.Revision != revision:
		return ErrRevision
	}
	return &StateError{Task: id, State: task.State, Verb: "edit"}
}

// args checks the values by the rules of a submit and returns those of the statement.
func (e Edit) args() (pgx.StrictNamedArgs, error) {
	task, fields := NewTask{Kind: "edited", Payload: e.Payload}, []string{}
	set := func(given bool, field string) bool {
		if given {
			fields = append(fields, field)
		}
		return given
	}
	set(e.Payload != nil, "payload")
	if set(e.Priority != nil, "priority") {
		task.Priority = *e.Priority
	}
	if set(e.RunAt != nil, "run_at") {
		task.RunAt = *e.RunAt
	}
	if set(e.MaxAttempts != nil, "max_attempts") {
		if task.MaxAttempts = *e.MaxAttempts; task.MaxAttempts == 0 {
			return nil, invalid("max_attempts", "1 to 1000")
		}
	}
	if set(e.Timeout != nil, "timeout_ms") {
		task.Timeout = *e.Timeout
	}
	if set(e.ExpiresAt != nil, "expires_at") {
		task.ExpiresAt = *e.ExpiresAt
	}
	if set(e.Backoff != nil, "backoff_ms") {
		task.Backoff = *e.Backoff
	}
	if set(e.Tags != nil, "tags") {
		task.Tags = *e.Tags
	}
	if len(fields) == 0 {
		return nil, invalid("edit", "at least one field to change")
	}
	row, bad := task.prepare()
	if bad != nil {
		return nil, &InvalidError{Fields: bad}
	}
	return pgx.StrictNamedArgs{"fields": fields, "payload": row.payload, "priority": row.priority, "run_at": row.runAt,
		"max_attempts": row.maxAttempts, "timeout_ms": row.timeoutMS, "expires_at": row.expiresAt, "backoff_ms": row.backoffMS, "tags": row.tags}, nil
}
