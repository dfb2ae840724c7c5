package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Failure is how an attempt failed.
type Failure struct {
	Code       string         // one word: error, panic, timeout, …; "": error
	Message    string         // for people
	Stack      string         // "": none
	Permanent  bool           // never retry
	RetryAfter *time.Duration // instead of the backoff
}

// Complete ends an attempt with its result (nil: none). It returns ErrLeaseLost when the lease is lost, or was used up.
func (c *Client) Complete(ctx context.Context, lease Lease, result json.RawMessage) error {
	return complete(ctx, c.hot, lease, result)
}

// CompleteTx is Complete within the caller's transaction: what the transaction writes and the completion commit together
// or not at all. On ErrLeaseLost roll back: another attempt is doing the same work.
func (c *Client) CompleteTx(ctx context.Context, tx pgx.Tx, lease Lease, result json.RawMessage) error {
	return complete(ctx, tx, lease, result)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func complete(ctx context.Context, db querier, lease Lease, result json.RawMessage) error {
	var text *string
	if result != nil {
		text = null(string(result))
	}
	return guarded(ctx, db, "complete", sql.Complete, lease.Worker, lease.Queue, []TaskID{lease.Task}, []int{lease.Attempt}, []*string{text})
}

// guarded runs a statement on one attempt; no row means that the lease is lost.
func guarded(ctx context.Context, db querier, verb, statement string, args ...any) error {
	rows, err := db.Query(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[TaskID])
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if len(ids) == 0 {
		return ErrLeaseLost
	}
	return nil
}

// Fail ends an attempt that did not succeed and returns what the task became: scheduled or ready to retry, failed when it
// gave up, cancelled when that was asked for. It returns ErrLeaseLost when the lease is lost, or was used up.
func (c *Client) Fail(ctx context.Context, lease Lease, failure Failure) (State, error) {
	type row struct {
		State   State
		DelayMS int64
	}
	args := pgx.StrictNamedArgs{"worker": lease.Worker, "queue": lease.Queue, "id": lease.Task, "attempt": lease.Attempt,
		"error_code": CleanText(failure.Code, 64), "error": CleanText(failure.Message, maxText), "stack": null(CleanText(failure.Stack, maxText)),
		"permanent": failure.Permanent, "retry_after_ms": (*int64)(nil)}
	if failure.Code == "" {
		args["error_code"] = "error"
	}
	if failure.RetryAfter != nil {
		args["retry_after_ms"] = clampMS(*failure.RetryAfter)
	}
	r, err := one[row](ctx, c.hot, "fail", sql.Fail, args)
	if errors.Is(err, ErrNotFound) {
		return "", ErrLeaseLost
	}
	if err == nil {
		c.waiting(lease.Queue, r.State, time.Duration(r.DelayMS)*time.Millisecond)
	}
	return r.State, err
}

// Snooze ends an attempt that wants to run again after the delay; it counts as no failure. It returns what the task became
// (cancelled when that was asked for), or ErrLeaseLost when the lease is lost, or was used up.
func (c *Client) Snooze(ctx context.Context, lease Lease, delay time.Duration, reason string) (State, error) {
	type row struct{ State State }
	r, err := one[row](ctx, c.hot, "snooze", sql.Snooze, pgx.StrictNamedArgs{"worker": lease.Worker, "queue": lease.Queue,
		"id": lease.Task, "attempt": lease.Attempt, "delay_ms": clampMS(delay), "reason": null(CleanText(reason, 1000))})
	if errors.Is(err, ErrNotFound) {
		return "", ErrLeaseLost
	}
	if err == nil {
		c.waiting(lease.Queue, r.State, delay)
	}
	return r.State, err
}

// waiting hints at a task that went back to wait.
func (c *Client) waiting(queue Queue, state State, delay time.Duration) {
	switch state {
	case Ready:
		c.hints.hint(queue)
	case Scheduled:
		c.dueIn(delay)
	}
}

// Release hands unfinished tasks of one worker back: ready at once, no failure counted. Those whose lease was lost are
// passed over. The leases must be of one worker.
func (c *Client) Release(ctx context.Context, leases []Lease) error {
	queues := map[Queue][]Lease{}
	for _, l := range leases {
		queues[l.Queue] = append(queues[l.Queue], l)
	}
	for queue, list := range queues {
		ids, attempts := split(list)
		rows, err := c.hot.Query(ctx, sql.Release, pgx.StrictNamedArgs{"worker": list[0].Worker, "queue": queue, "ids": ids, "attempts": attempts})
		if err != nil {
			return fmt.Errorf("release: %w", err)
		}
		if _, err := pgx.CollectRows(rows, pgx.RowTo[TaskID]); err != nil {
			return fmt.Errorf("release: %w", err)
		}
	}
	return nil
}

// Settled reports whether the attempt was ended by its own worker. Asked after an answer was lost on the way: the first
// try may have been carried out, and the second then finds the lease used up.
func (c *Client) Settled(ctx context.Context, lease Lease) (bool, error) {
	var settled bool
	err := c.hot.QueryRow(ctx, sql.Settled, pgx.StrictNamedArgs{"id": lease.Task, "attempt": lease.Attempt, "worker": lease.Worker}).Scan(&settled)
	if err != nil {
		return false, fmt.Errorf("settled: %w", err)
	}
	return settled, nil
}

func clampMS(d time.Duration) int64 {
	return min(max(d.Milliseconds(), 0), time.Duration(maxTimeout).Milliseconds())
}
