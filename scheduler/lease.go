package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgscheduler/scheduler/sql"
)

// Lease is a worker's right to run one attempt of a task. It names what every write by the worker is guarded with.
type Lease struct {
	Task    TaskID
	Queue   Queue
	Worker  WorkerID
	Attempt int
}

// LeasedTask is a task as its worker gets it.
type LeasedTask struct {
	Lease
	Group       int64 // the lease row that it came with; told to Heartbeat once all tasks of the group have ended
	Kind        string
	Payload     json.RawMessage
	Failures    int // before this attempt
	Crashes     int // before this attempt
	MaxAttempts int
	Priority    int
	Timeout     time.Duration // 0: none
	RunAt       time.Time
	CreatedAt   time.Time
	StartedAt   time.Time
	Schedule    string    // "": submitted
	TickAt      time.Time // zero: not of a tick
}

// Ask is how many tasks are wanted of a queue.
type Ask struct {
	Queue Queue
	Limit int // 1 and up
}

type leasedRow struct {
	LeaseID     int64
	ID          TaskID
	Kind        string
	Payload     json.RawMessage
	Attempt     int
	Failures    int
	Crashes     int
	MaxAttempts int
	Priority    int
	TimeoutMS   *int64
	RunAt       time.Time
	CreatedAt   time.Time
	StartedAt   time.Time
	Schedule    *string
	TickAt      *time.Time
}

// Lease takes ready tasks of the given kinds for a worker, one statement a queue in one round trip, and returns them by
// queue in the order asked, within a queue by priority, due time, id. Fewer than asked: there were no more to have, the
// queue is paused, or the worker was declared dead.
func (c *Client) Lease(ctx context.Context, worker WorkerID, kinds []string, asks []Ask) ([]LeasedTask, error) {
	if len(asks) == 0 || len(kinds) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	var tasks []LeasedTask
	var costly []Queue
	var batch pgx.Batch
	began := time.Now()
	for _, ask := range asks {
		start := c.positions.from(ask.Queue, began)
		batch.Queue(sql.Lease, worker, ask.Queue, ask.Limit, kinds, start.Priority, start.RunAt, start.ID).Query(func(rows pgx.Rows) error {
			list, err := pgx.CollectRows(rows, pgx.RowToStructByName[leasedRow])
			if err != nil {
				return err
			}
			now := time.Now()
			end := beginning
			for _, row := range list {
				tasks = append(tasks, row.task(worker, ask.Queue))
				end = row.position()
			}
			took := now.Sub(began)
			c.positions.note(ask.Queue, start, end, len(list), now, took)
			if start == beginning && len(list) == 0 && took > costlyWalk {
				costly = append(costly, ask.Queue)
			}
			began = now // the statements of a batch run one after the other
			return nil
		})
	}
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	for _, queue := range costly {
		if err := c.skipForeign(ctx, queue); err != nil {
			c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "lease", slog.String("queue", string(queue)), slog.Any("err", err))
		}
	}
	return tasks, nil
}

func (r leasedRow) position() position {
	return position{Priority: int16(r.Priority), RunAt: pgtype.Timestamptz{Time: r.RunAt, Valid: true}, ID: r.ID}
}

func (r leasedRow) task(worker WorkerID, queue Queue) LeasedTask {
	t := LeasedTask{
		Lease: Lease{Task: r.ID, Queue: queue, Worker: worker, Attempt: r.Attempt},
		Group: r.LeaseID, Kind: r.Kind, Payload: r.Payload, Failures: r.Failures, Crashes: r.Crashes, MaxAttempts: r.MaxAttempts,
		Priority: r.Priority, RunAt: r.RunAt, CreatedAt: r.CreatedAt, StartedAt: r.StartedAt,
	}
	if r.TimeoutMS != nil {
		t.Timeout = time.Duration(*r.TimeoutMS) * time.Millisecond
	}
	if r.Schedule != nil {
		t.Schedule = *r.Schedule
	}
	if r.TickAt != nil {
		t.TickAt = *r.TickAt
	}
	return t
}
