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
	MaxAttempts int
	Priority    int
	Timeout     time.Duration // 0: none
	RunAt       time.Time
	CreatedAt   time.Time
	Schedule    string          // "": submitted
	TickAt      time.Time       // zero: not of a tick
	TraceParent string          // W3C traceparent; "": it belongs to no trace
	Checkpoint  json.RawMessage // what an earlier attempt stored; nil: nothing
	Topic       string          // of the message that it was made of; "": it was not published
	MessageID   int64           // that message; 0: none
}

// Ask is how many tasks are wanted of a queue.
type Ask struct {
	Queue Queue
	Limit int // 1 and up
}

// leasedRow is scanned field by field: of all that a worker does with a task that is soon done, decoding it costs the most.
type leasedRow struct {
	LeaseID     int64
	ID          pgtype.UUID
	Kind        string
	Payload     []byte
	Attempt     int32
	Failures    int16
	MaxAttempts int16
	Priority    int16
	TimeoutMS   pgtype.Int8
	RunAt       pgtype.Timestamptz
	CreatedAt   pgtype.Timestamptz
	Schedule    pgtype.Text
	TickAt      pgtype.Timestamptz
	Trace       pgtype.Text
	Checkpoint  []byte
	Topic       pgtype.Text
	MessageID   pgtype.Int8
}

// fields are in the order of the statement's columns.
func (r *leasedRow) fields() []any {
	return []any{&r.LeaseID, &r.ID, &r.Kind, &r.Payload, &r.Attempt, &r.Failures, &r.MaxAttempts, &r.Priority, &r.TimeoutMS, &r.RunAt,
		&r.CreatedAt, &r.Schedule, &r.TickAt, &r.Trace, &r.Checkpoint, &r.Topic, &r.MessageID}
}

// Lease takes ready tasks of the given kinds for a worker, one statement a queue in one round trip, and returns them by
// queue in the order asked, within a queue by priority, due time, id. Fewer than asked: there were no more to have, the
// queue is paused, or the worker was declared dead.
func (c *Client) Lease(ctx context.Context, worker WorkerID, kinds []string, asks []Ask) ([]LeasedTask, error) {
	if len(asks) == 0 || len(kinds) == 0 {
		return nil, nil
	}
	wishes := make([]wish, len(asks))
	for i, ask := range asks {
		wishes[i] = wish{Ask: ask, worker: worker, kinds: kinds}
	}
	got, err := c.leaseEach(ctx, wishes)
	if len(got) == 1 {
		return got[0], nil
	}
	return slices.Concat(got...), err
}

// wish is what a worker wants of a queue.
type wish struct {
	Ask
	worker WorkerID
	kinds  []string
	bound  bool // to answerBytes
}

const (
	answerBytes = 8 << 20                        // of payloads and checkpoints, that a remote worker gets of a queue at once
	answerSmall = answerBytes / (2 * MaxPayload) // so many tasks are never more
)

// statement returns what takes the tasks, with its arguments.
func (w wish) statement(start position) (string, []any) {
	args := []any{w.worker, w.Queue, w.Limit, w.kinds, start.Priority, start.RunAt, start.ID}
	if w.bound && w.Limit > answerSmall {
		return sql.LeaseSome, append(args, answerBytes)
	}
	return sql.Lease, args
}

// leaseEach takes tasks for each of the wishes in turn, in one round trip and one commit.
func (c *Client) leaseEach(ctx context.Context, wishes []wish) ([][]LeasedTask, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	all := make([][]LeasedTask, len(wishes))
	lost := map[way]time.Duration{}
	ways := make([]way, len(wishes))
	var batch pgx.Batch
	began := time.Now()
	for i, its := range wishes {
		ways[i] = newWay(its.Queue, its.kinds)
		start := c.positions.from(ways[i])
		statement, args := its.statement(start)
		batch.Queue(statement, args...).Query(func(rows pgx.Rows) error {
			got, err := its.collect(rows, c.positions.size(ways[i]))
			if err != nil {
				return err
			}
			all[i] = got
			now := time.Now()
			end := beginning
			if len(got) > 0 {
				end = got[len(got)-1].position()
			}
			took := now.Sub(began)
			if c.positions.leased(ways[i], start, end, len(got), now, took) {
				lost[ways[i]] = took
			}
			began = now // the statements of a batch run one after the other
			return nil
		})
	}
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	for _, w := range ways {
		if took, ok := lost[w]; ok {
			c.skipForeign(ctx, w, took)
		}
		c.scout(w)
	}
	return all, nil
}

// collect returns the tasks of the rows in the order of leasing; about so many are expected.
func (w wish) collect(rows pgx.Rows, about int) ([]LeasedTask, error) {
	var row leasedRow
	got := make([]LeasedTask, 0, min(w.Limit, about))
	_, err := pgx.ForEachRow(rows, row.fields(), func() error {
		got = append(got, row.task(w.worker, w.Queue))
		return nil
	})
	slices.SortFunc(got, compareTurns)
	return got, err
}

// compareTurns is the order of leasing within a queue.
func compareTurns(a, b LeasedTask) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.RunAt.Compare(b.RunAt), bytes.Compare(a.Task[:], b.Task[:]))
}

func (t *LeasedTask) position() position {
	return position{Priority: int16(t.Priority), RunAt: pgtype.Timestamptz{Time: t.RunAt, Valid: true}, ID: t.Task}
}

func (r *leasedRow) task(worker WorkerID, queue Queue) LeasedTask {
	return LeasedTask{
		Lease: Lease{Task: r.ID.Bytes, Queue: queue, Worker: worker, Attempt: int(r.Attempt)},
		Group: r.LeaseID, Kind: r.Kind, Payload: r.Payload, Failures: int(r.Failures), MaxAttempts: int(r.MaxAttempts),
		Priority: int(r.Priority), Timeout: time.Duration(r.TimeoutMS.Int64) * time.Millisecond, // 0: NULL
		RunAt: r.RunAt.Time, CreatedAt: r.CreatedAt.Time, Schedule: r.Schedule.String, TickAt: r.TickAt.Time, TraceParent: r.Trace.String, Checkpoint: r.Checkpoint,
		Topic: r.Topic.String, MessageID: r.MessageID.Int64,
	}
}
