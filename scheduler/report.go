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

	"github.com/pgscheduler/scheduler/sql"
)

// Progress is how far a task is.
type Progress struct {
	Current int64           // units done
	Total   int64           // units in all; 0: unknown
	Message string          // for people, cut to 8 KiB
	Data    json.RawMessage // anything else, JSON of at most MaxPayload bytes; nil: none
}

// Report is the progress of one attempt.
type Report struct {
	Lease
	Progress
}

// Report writes the progress of several attempts of one worker, each task at most once. It returns the leases that are
// lost, and the reports that could not be written now because somebody has the task's row locked: try those again.
func (c *Client) Report(ctx context.Context, reports []Report) (lost []Lease, locked []Report, err error) {
	queues := map[Queue][]Report{}
	for _, r := range reports {
		queues[r.Queue] = append(queues[r.Queue], r)
	}
	for _, list := range queues {
		rows, err := report(ctx, c.hot, list)
		if err != nil {
			return lost, locked, err
		}
		for _, r := range list {
			switch row := rows[r.Task]; {
			case !row.Held:
				lost = append(lost, r.Lease)
			case !row.Written:
				locked = append(locked, r)
			}
		}
	}
	return lost, locked, nil
}

// ReportLast writes the progress of one attempt that is about to end, and unlike Report waits for a row that somebody has locked, for
// 2 s at most. It returns ErrLeaseLost.
func (c *Client) ReportLast(ctx context.Context, r Report) error {
	message, data := r.columns()
	return guarded(ctx, c.hot, "report", sql.ReportTx, r.Lease, r.Current, null(r.Total), message, data)
}

// ReportTx writes the progress of one attempt within the caller's transaction. It returns ErrLeaseLost when the lease is
// lost: roll back. The transaction has the task's row locked from then on: keep it short, since a Cancel of the task waits
// for it.
func (c *Client) ReportTx(ctx context.Context, tx pgx.Tx, r Report) error {
	message, data := r.columns()
	return guarded(ctx, tx, "report", sql.ReportTx, r.Lease, r.Current, null(r.Total), message, data)
}

// SaveCheckpoint stores a JSON value of at most MaxPayload bytes, nil: none, which the next attempt of the task is leased
// with. It returns ErrLeaseLost when the lease is lost, an error of CheckJSON for what can't be stored.
func (c *Client) SaveCheckpoint(ctx context.Context, lease Lease, value json.RawMessage) error {
	if value != nil {
		if err := CheckJSON(value); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	tag, err := c.hot.Exec(ctx, sql.Checkpoint, lease.Worker, lease.Queue, lease.Task, lease.Attempt, null(string(value)))
	switch {
	case err != nil:
		return fmt.Errorf("checkpoint: %w", err)
	case tag.RowsAffected() == 0:
		return ErrLeaseLost
	}
	return nil
}

// columns returns what can be stored of message and data.
func (p Progress) columns() (message, data *string) {
	if p.Data != nil && CheckJSON(p.Data) == nil {
		data = null(string(p.Data))
	}
	return null(CleanText(p.Message, maxLine)), data
}

type reported struct {
	ID      TaskID
	Written bool
	Held    bool
}

// reportArgs returns the arguments for reports of one worker and queue, which it sorts.
func reportArgs(list []Report) []any {
	slices.SortFunc(list, func(a, b Report) int { return compareLeases(a.Lease, b.Lease) })
	n := len(list)
	ids, attempts, current, total := make([]TaskID, n), make([]int, n), make([]int64, n), make([]*int64, n)
	messages, data := make([]*string, n), make([]*string, n)
	for i, r := range list {
		ids[i], attempts[i], current[i], total[i] = r.Task, r.Attempt, r.Current, null(r.Total)
		messages[i], data[i] = r.columns()
	}
	return []any{list[0].Worker, list[0].Queue, ids, attempts, current, total, messages, data}
}

func report(ctx context.Context, db querier, list []Report) (map[TaskID]reported, error) {
	rows, err := db.Query(ctx, sql.Report, reportArgs(list)...)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	done, err := pgx.CollectRows(rows, pgx.RowToStructByName[reported])
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	byID := make(map[TaskID]reported, len(done))
	for _, row := range done {
		byID[row.ID] = row
	}
	return byID, nil
}

// Line is a log line on its way to the database.
type Line struct {
	Lease
	At      time.Time // of the local clock; stored as an age, so that clocks need not agree
	Stream  string    // log, stdout or stderr
	Message string    // cut to 8 KiB
}

// Log stores lines of one worker in order. Lines of a lost lease are dropped.
func (c *Client) Log(ctx context.Context, lines []Line) error {
	queues := map[Queue][]Line{}
	for _, l := range lines {
		queues[l.Queue] = append(queues[l.Queue], l)
	}
	for _, list := range queues {
		if _, err := c.hot.Exec(ctx, sql.Log, logArgs(list)...); err != nil {
			return fmt.Errorf("log: %w", err)
		}
	}
	return nil
}

// logArgs returns the arguments for lines of one worker and queue.
func logArgs(list []Line) []any {
	n := len(list)
	ids, attempts, ages, streams, messages := make([]TaskID, n), make([]int, n), make([]int64, n), make([]string, n), make([]string, n)
	for i, l := range list {
		ids[i], attempts[i], ages[i], streams[i], messages[i] = l.Task, l.Attempt, time.Since(l.At).Milliseconds(), l.Stream, CleanText(l.Message, maxLine)
	}
	return []any{list[0].Worker, list[0].Queue, ids, attempts, ages, streams, messages}
}

// compareLeases is the order in which statements lock tasks.
func compareLeases(a, b Lease) int {
	return cmp.Or(bytes.Compare(a.Task[:], b.Task[:]), cmp.Compare(a.Attempt, b.Attempt))
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}
