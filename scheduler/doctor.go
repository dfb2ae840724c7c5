package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Health is what a person wants to know of the database first.
type Health struct {
	ServerVersion     string    `db:"server_version"`
	ServerVersionNum  int       `db:"server_version_num"` // 150018 is 15.18
	Database          string    `db:"database"`
	Username          string    `db:"username"`
	Clock             time.Time `db:"clock"`
	Standby           bool      `db:"standby"`            // read-only
	SynchronousCommit string    `db:"synchronous_commit"` // off: the last commits before a crash may be lost
	Fsync             string    `db:"fsync"`              // off: a power cut may destroy the database

	NotificationQueue  float64 `db:"notification_queue"`   // how full it is, 0 to 1
	OldestSnapshotS    float64 `db:"oldest_snapshot_s"`    // age of the oldest transaction that keeps dead rows from being removed
	OldestSnapshotXIDs int64   `db:"oldest_snapshot_xids"` // the same in transactions

	LiveWorkers     int   `db:"live_workers"`
	DeadWorkers     int   `db:"dead_workers"`      // silent, and about to be rescued from
	StuckLeases     int   `db:"stuck_leases"`      // running tasks without a live worker
	PromotionLateMS int64 `db:"promotion_late_ms"` // how long the most overdue scheduled task has been due
	DeadRows        int64 `db:"dead_rows"`         // of scheduler.tasks, as the statistics have it
}

// Doctor looks at the database's health. It costs a few scans of small tables.
func (c *Client) Doctor(ctx context.Context) (Health, error) {
	return one[Health](ctx, c.pool, "doctor", sql.Doctor, nil)
}

// NotifyRoundTrip sends a notification on one connection and returns how long it took to arrive on another: the proof that
// wakeups work, which they do not through a transaction pooler. When none arrives the error is that of ctx.
func (c *Client) NotifyRoundTrip(ctx context.Context) (time.Duration, error) {
	const channel = "scheduler_doctor"
	conn, err := pgx.ConnectConfig(ctx, c.listen)
	if err != nil {
		return 0, fmt.Errorf("notify round trip: %w", err)
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(bye) // it is gone either way
	}()
	if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
		return 0, fmt.Errorf("notify round trip: %w", err)
	}
	mine := NewWorkerID().String()
	sent := time.Now()
	if _, err := c.pool.Exec(ctx, sql.Notify, channel, []string{mine}); err != nil {
		return 0, fmt.Errorf("notify round trip: %w", err)
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return 0, fmt.Errorf("notify round trip: %w", err)
		}
		if n.Payload == mine {
			return time.Since(sent), nil
		}
	}
}
