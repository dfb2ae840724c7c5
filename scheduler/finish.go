package scheduler

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// Complete ends an attempt with its result (nil: none). Completions that arrive together share a statement and a commit. It
// returns ErrLeaseLost when the lease is lost, or was used up.
func (c *Client) Complete(ctx context.Context, lease Lease, result json.RawMessage) error {
	_, err := c.completions.do(ctx, newCompletion(lease, result))
	return err
}

// CompleteLater is Complete without waiting: done is called with the error once the completion is committed or refused, from
// another goroutine, and must not block. Close waits for it.
func (c *Client) CompleteLater(lease Lease, result json.RawMessage, done func(error)) {
	c.completions.later(newCompletion(lease, result), func(a answer[struct{}]) { done(a.err) })
}

// CompleteTx is Complete within the caller's transaction: what the transaction writes and the completion commit together
// or not at all. On ErrLeaseLost roll back: another attempt is doing the same work.
func (c *Client) CompleteTx(ctx context.Context, tx pgx.Tx, lease Lease, result json.RawMessage) error {
	return guarded(ctx, tx, "complete", sql.CompleteTx, lease, null(string(result)))
}

// guarded runs a statement on one attempt within tx; it takes worker, queue, id and attempt first, then args. No row means
// that the lease is lost.
func guarded(ctx context.Context, tx pgx.Tx, verb, statement string, lease Lease, args ...any) error {
	tag, err := tx.Exec(ctx, statement, append([]any{lease.Worker, lease.Queue, lease.Task, lease.Attempt}, args...)...)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", verb, err)
	case tag.RowsAffected() == 0:
		return ErrLeaseLost
	}
	return nil
}

type completion struct {
	Lease
	result *string
}

func newCompletion(lease Lease, result json.RawMessage) completion {
	return completion{lease, null(string(result))}
}

func (c completion) size() int {
	if c.result == nil {
		return 0
	}
	return len(*c.result)
}

// completeMany ends attempts, one statement a worker and queue, in one round trip and one commit.
func (c *Client) completeMany(ctx context.Context, in []completion) ([]answer[struct{}], error) {
	order := make([]int, len(in)) // in which the statements lock, so that two of them never wait for each other
	answers := make([]answer[struct{}], len(in))
	for i := range in {
		order[i], answers[i].err = i, ErrLeaseLost
	}
	slices.SortFunc(order, func(a, b int) int { return compareLanes(&in[a].Lease, &in[b].Lease) })
	var batch pgx.Batch
	for len(order) > 0 {
		lane := order[:sameLane(in, order)]
		order = order[len(lane):]
		batch.Queue(sql.Complete, completeArgs(in, lane)...).Query(func(rows pgx.Rows) error {
			var place int32
			_, err := pgx.ForEachRow(rows, []any{&place}, func() error { answers[lane[place-1]].err = nil; return nil })
			return err
		})
	}
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("complete: %w", err)
	}
	return answers, nil
}

// compareLanes sorts leases by what one statement is about, then as statements lock tasks.
func compareLanes(a, b *Lease) int {
	if n := bytes.Compare(a.Worker[:], b.Worker[:]); n != 0 {
		return n
	}
	return cmp.Or(cmp.Compare(a.Queue, b.Queue), bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Attempt, b.Attempt))
}

// sameLane returns how many in the order, from the first on, are of one worker and queue.
func sameLane(in []completion, order []int) int {
	first := &in[order[0]].Lease
	for n, i := range order {
		if in[i].Worker != first.Worker || in[i].Queue != first.Queue {
			return n
		}
	}
	return len(order)
}

// completeArgs returns the arguments for those completions, which are of one worker and queue.
func completeArgs(in []completion, lane []int) []any {
	n := len(lane)
	ids, attempts, results := make([]TaskID, n), make([]int32, n), make([]*string, n)
	for place, i := range lane {
		ids[place], attempts[place], results[place] = in[i].Task, int32(in[i].Attempt), in[i].result
	}
	return []any{in[lane[0]].Worker, in[lane[0]].Queue, ids, attempts, results}
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
		c.announceReady(queue)
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
