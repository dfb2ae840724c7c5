package scheduler

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Survey is what all processes of a database together look like.
type Survey struct {
	Overview
	Queues    []QueueStatus
	Endpoints []Endpoint
}

// Overview is a Survey without its queues and endpoints.
type Overview struct {
	Clock             time.Time `db:"clock"`
	NotificationQueue float64   `db:"notification_queue"` // how full it is, 0 to 1
	OldestSnapshotS   float64   `db:"oldest_snapshot_s"`  // age of the oldest transaction that keeps dead rows from being removed
	LiveWorkers       int       `db:"live_workers"`
	DeadWorkers       int       `db:"dead_workers"`      // silent, and about to be rescued from
	Slots             int       `db:"slots"`             // of live workers
	PromotionLateMS   int64     `db:"promotion_late_ms"` // how long the most overdue scheduled task has been due; 0: none is
	ScheduleLateMS    int64     `db:"schedule_late_ms"`  // the same of ticks
	BrokenSchedules   int       `db:"broken_schedules"`  // those that never fire until they are mended
	DeadRows          int64     `db:"dead_rows"`         // of scheduler.tasks, as the statistics have it
}

// Survey looks at the whole database, in one round trip that costs the same however many tasks there are: in each queue it
// counts to most, 1 to CountCap, of each state. It sends a notification on the way, so that Counts knows how long these take
// even while nothing else is announced.
func (c *Client) Survey(ctx context.Context, most int) (s Survey, err error) {
	if most < 1 || most > CountCap {
		return s, invalid("most", fmt.Sprintf("1 to %d", CountCap))
	}
	var batch pgx.Batch
	batch.Queue(sql.Pin)
	batch.Queue(sql.Survey).Query(func(rows pgx.Rows) (err error) {
		s.Overview, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Overview])
		return err
	})
	batch.Queue(sql.Queues, pgx.StrictNamedArgs{"cap": most}).Query(func(rows pgx.Rows) (err error) {
		s.Queues, err = pgx.CollectRows(rows, pgx.RowToStructByName[QueueStatus])
		return err
	})
	batch.Queue(sql.Endpoints, pgx.StrictNamedArgs{"name": nil}).Query(func(rows pgx.Rows) (err error) {
		s.Endpoints, err = pgx.CollectRows(rows, pgx.RowToStructByName[Endpoint])
		return err
	})
	began := time.Now()
	if err := c.reads.SendBatch(ctx, &batch).Close(); err != nil {
		return Survey{}, fmt.Errorf("survey: %w", err)
	}
	c.ahead.note(s.Clock, began, time.Now())
	if c.Hearing() {
		c.notify(ChannelDue, []string{echoPayload})
	}
	return s, nil
}

// echoPayload is no time, so that nobody does anything about it.
const echoPayload = "echo"

// ahead is how far the database's clock is ahead of this process's. The zero value: not at all. Safe for concurrent use.
type ahead struct{ ns atomic.Int64 }

// note takes in what the database's clock said between two instants of ours.
func (a *ahead) note(clock, before, after time.Time) {
	a.ns.Store(int64(clock.Sub(before.Add(after.Sub(before) / 2))))
}

// Now is the database's time, as far as this process knows without asking: right to about the way to the database and back
// when it was last asked, by Open, Survey or EndpointSecrets. Good for measuring, never for deciding.
func (c *Client) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.ns.Load())) }

// Local is what this process's clock showed at an instant of the database's, as far as Now is right.
func (c *Client) Local(at time.Time) time.Time { return at.Add(-time.Duration(c.ahead.ns.Load())) }
