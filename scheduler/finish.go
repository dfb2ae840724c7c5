package scheduler

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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

// execer is a transaction or a pool.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// guarded runs a statement on one attempt within tx; it takes worker, queue, id and attempt first, then args. No row means
// that the lease is lost.
func guarded(ctx context.Context, tx execer, verb, statement string, lease Lease, args ...any) error {
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
	var batch pgx.Batch
	answers := make([]answer[struct{}], len(in))
	queueCompletions(&batch, in, func(i int, err error) { answers[i].err = err })
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("complete: %w", err)
	}
	return answers, nil
}

// queueCompletions queues the statements; each completion is answered once the batch is done, ErrLeaseLost at first.
func queueCompletions(batch *pgx.Batch, in []completion, answer func(i int, err error)) {
	for _, lane := range lanes(len(in), func(i int) *Lease { return &in[i].Lease }) {
		for _, i := range lane {
			answer(i, ErrLeaseLost)
		}
		batch.Queue(sql.Complete, completeArgs(in, lane)...).Query(func(rows pgx.Rows) error {
			var place int32
			_, err := pgx.ForEachRow(rows, []any{&place}, func() error { answer(lane[place-1], nil); return nil })
			return err
		})
	}
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

// lanes parts n leases by worker and queue, which is what one statement is about, in the order in which statements lock, so
// that two of them never wait for each other.
func lanes(n int, lease func(i int) *Lease) (list [][]int) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareLanes(lease(a), lease(b)) })
	for len(order) > 0 {
		first, same := lease(order[0]), 1
		for same < len(order) && lease(order[same]).Worker == first.Worker && lease(order[same]).Queue == first.Queue {
			same++
		}
		list, order = append(list, order[:same]), order[same:]
	}
	return list
}

// compareLanes sorts leases by what one statement is about, then as statements lock tasks.
func compareLanes(a, b *Lease) int {
	if n := bytes.Compare(a.Worker[:], b.Worker[:]); n != 0 {
		return n
	}
	return cmp.Or(cmp.Compare(a.Queue, b.Queue), bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Attempt, b.Attempt))
}

// Fail ends an attempt that did not succeed and returns what the task became: scheduled or ready to retry, failed when it
// gave up, cancelled when that was asked for. Failures that arrive together share a statement and a commit. It returns
// ErrLeaseLost when the lease is lost, or was used up.
func (c *Client) Fail(ctx context.Context, lease Lease, failure Failure) (State, error) {
	return c.failures.do(ctx, newFailed(lease, failure))
}

func newFailed(lease Lease, failure Failure) failed {
	f := failed{Lease: lease, code: cmp.Or(CleanText(failure.Code, 64), "error"), message: CleanText(failure.Message, maxText),
		stack: null(CleanText(failure.Stack, maxText)), permanent: failure.Permanent, retryAfterMS: -1}
	if failure.RetryAfter != nil {
		f.retryAfterMS = clampMS(*failure.RetryAfter)
	}
	return f
}

type failed struct {
	Lease
	code, message string
	stack         *string
	permanent     bool
	retryAfterMS  int64 // -1: the backoff
}

func (f failed) size() int {
	n := len(f.message)
	if f.stack != nil {
		n += len(*f.stack)
	}
	return n
}

// failMany ends attempts, one statement a worker and queue, in one round trip and one commit.
func (c *Client) failMany(ctx context.Context, in []failed) ([]answer[State], error) {
	return c.endMany(ctx, "fail", sql.Fail, len(in), func(i int) *Lease { return &in[i].Lease }, failArgs(in))
}

func failArgs(in []failed) func(lane []int) []any {
	return func(lane []int) []any {
		n := len(lane)
		codes, messages, stacks := make([]string, n), make([]string, n), make([]*string, n)
		permanent, retryAfter := make([]bool, n), make([]int64, n)
		for place, i := range lane {
			codes[place], messages[place], stacks[place] = in[i].code, in[i].message, in[i].stack
			permanent[place], retryAfter[place] = in[i].permanent, in[i].retryAfterMS
		}
		return []any{codes, messages, stacks, permanent, retryAfter}
	}
}

// Snooze ends an attempt that wants to run again after the delay; it counts as no failure. Those that arrive together share a
// statement and a commit. It returns what the task became (cancelled when that was asked for), or ErrLeaseLost when the
// lease is lost, or was used up.
func (c *Client) Snooze(ctx context.Context, lease Lease, delay time.Duration, reason string) (State, error) {
	return c.snoozes.do(ctx, newSnoozed(lease, delay, reason))
}

func newSnoozed(lease Lease, delay time.Duration, reason string) snoozed {
	return snoozed{lease, clampMS(delay), null(CleanText(reason, 1000))}
}

type snoozed struct {
	Lease
	delayMS int64
	reason  *string
}

// snoozeMany ends attempts, one statement a worker and queue, in one round trip and one commit.
func (c *Client) snoozeMany(ctx context.Context, in []snoozed) ([]answer[State], error) {
	return c.endMany(ctx, "snooze", sql.Snooze, len(in), func(i int) *Lease { return &in[i].Lease }, snoozeArgs(in))
}

func snoozeArgs(in []snoozed) func(lane []int) []any {
	return func(lane []int) []any {
		delays, reasons := make([]int64, len(lane)), make([]*string, len(lane))
		for place, i := range lane {
			delays[place], reasons[place] = in[i].delayMS, in[i].reason
		}
		return []any{delays, reasons}
	}
}

// endMany runs a statement that ends n attempts, once for each worker and queue, in one round trip and one commit. Then it
// hints at those that went back to wait.
func (c *Client) endMany(ctx context.Context, verb, statement string, n int, lease func(i int) *Lease, args func(lane []int) []any) ([]answer[State], error) {
	var batch pgx.Batch
	ends := queueEnds(&batch, statement, n, lease, args)
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	c.hintEnds(ends)
	return ends.answers, nil
}

// ends are attempts that one statement ends, and what it answers.
type ends struct {
	lease   func(i int) *Lease
	answers []answer[State]
	delays  []time.Duration
}

// queueEnds queues a statement that ends n attempts, once for each worker and queue. It takes worker, queue, ids and attempts
// first, then args, and returns the places of those that it ended, what the tasks became, and how long they wait.
func queueEnds(batch *pgx.Batch, statement string, n int, lease func(i int) *Lease, args func(lane []int) []any) ends {
	e := ends{lease: lease, answers: make([]answer[State], n), delays: make([]time.Duration, n)}
	for _, lane := range lanes(n, lease) {
		ids, attempts := make([]TaskID, len(lane)), make([]int32, len(lane))
		for place, i := range lane {
			ids[place], attempts[place] = lease(i).Task, int32(lease(i).Attempt)
			e.answers[i].err = ErrLeaseLost
		}
		first := lease(lane[0])
		batch.Queue(statement, append([]any{first.Worker, first.Queue, ids, attempts}, args(lane)...)...).Query(func(rows pgx.Rows) error {
			var place int32
			var state State
			var delayMS int64
			_, err := pgx.ForEachRow(rows, []any{&place, &state, &delayMS}, func() error {
				i := lane[place-1]
				e.answers[i], e.delays[i] = answer[State]{out: state}, time.Duration(delayMS)*time.Millisecond
				return nil
			})
			return err
		})
	}
	return e
}

// hintEnds hints at tasks that went back to wait, once that is committed.
func (c *Client) hintEnds(e ends) {
	var ready []Queue
	soonest := time.Duration(-1)
	for i, a := range e.answers {
		switch {
		case a.out == Ready && !slices.Contains(ready, e.lease(i).Queue):
			ready = append(ready, e.lease(i).Queue)
		case a.out == Scheduled && (soonest < 0 || e.delays[i] < soonest):
			soonest = e.delays[i]
		}
	}
	for _, queue := range ready {
		c.announceReady(queue)
	}
	if soonest >= 0 {
		c.dueIn(soonest)
	}
}

// Release hands unfinished tasks back, at shutdown: ready at once, no failure counted. Those whose lease was lost are passed
// over.
func (c *Client) Release(ctx context.Context, leases []Lease) error {
	return c.releaseFor(ctx, leases, "handed back at shutdown")
}

// releaseFor is Release with a reason for people.
func (c *Client) releaseFor(ctx context.Context, leases []Lease, reason string) error {
	if len(leases) == 0 {
		return nil
	}
	_, err := c.endMany(ctx, "release", sql.Release, len(leases), func(i int) *Lease { return &leases[i] }, func(lane []int) []any {
		return []any{slices.Repeat([]string{reason}, len(lane))}
	})
	return err
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
