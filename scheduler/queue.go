package scheduler

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// CountCap is where counting stops: a count of CountCap means that many or more.
const CountCap = 10000

// QueueStatus is a queue with its counts, each at most CountCap.
type QueueStatus struct {
	Name          Queue      `db:"name"`
	PausedAt      *time.Time `db:"paused_at"`
	Ready         int        `db:"ready"`
	Scheduled     int        `db:"scheduled"` // among the 10 * CountCap of all queues that are due first
	Running       int        `db:"running"`
	Failed        int        `db:"failed"`
	Workers       int        `db:"workers"`         // live ones that take from it
	Slots         int        `db:"slots"`           // of those, shared with their other queues
	OldestReadyMS *int64     `db:"oldest_ready_ms"` // how long the oldest ready task has been due; nil: none is ready
}

// Queues returns every queue that has tasks that are not final, failed tasks, workers or settings.
func (c *Client) Queues(ctx context.Context) ([]QueueStatus, error) {
	return all[QueueStatus](ctx, c.reads, "list queues", sql.Queues, pgx.StrictNamedArgs{"cap": CountCap})
}

// PauseQueue stops leasing from a queue, at once; what runs goes on. It returns since when the queue is paused.
func (c *Client) PauseQueue(ctx context.Context, queue Queue) (time.Time, error) {
	if !ValidQueue(queue) {
		return time.Time{}, invalid("queue", queueRule)
	}
	type row struct{ PausedAt time.Time }
	r, err := one[row](ctx, c.pool, "pause queue", sql.QueuePause, by(ctx, pgx.StrictNamedArgs{"queue": queue}))
	return r.PausedAt, err
}

// ResumeQueue undoes PauseQueue. It reports whether the queue was paused.
func (c *Client) ResumeQueue(ctx context.Context, queue Queue) (bool, error) {
	if !ValidQueue(queue) {
		return false, invalid("queue", queueRule)
	}
	type row struct{ Resumed bool }
	r, err := one[row](ctx, c.pool, "resume queue", sql.QueueResume, by(ctx, pgx.StrictNamedArgs{"queue": queue}))
	return r.Resumed, err
}
