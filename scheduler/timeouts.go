package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

const (
	timeoutGrace = 5 * time.Second // in which a remote worker may end the attempt by itself
	timeoutEvery = quietEvery
	timeoutBatch = 20 // lease rows that one look takes
)

// askTimeOut ends attempts of remote workers whose time is over. Their lease rows say when to look (sql/lease_timeout.sql).
func (c *Client) askTimeOut(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	type row struct {
		ID        TaskID
		Queue     Queue
		WorkerID  WorkerID
		Attempt   int
		Kind      string
		TimeoutMS int64
	}
	var list []row
	batch.Queue(sql.TimeOut, timeoutBatch).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[row])
		return err
	})
	return func(ctx context.Context) (time.Duration, error) {
		for _, r := range list {
			lease := Lease{Task: r.ID, Queue: r.Queue, Worker: r.WorkerID, Attempt: r.Attempt}
			took := time.Duration(r.TimeoutMS) * time.Millisecond
			state, err := c.Fail(ctx, lease, Failure{Code: "timeout", Message: fmt.Sprintf("timed out after %s; the worker had not ended it %s later", took, timeoutGrace)})
			if errors.Is(err, ErrLeaseLost) { // it has ended meanwhile
				continue
			}
			if err != nil {
				return 0, err
			}
			c.Count(Ended{Queue: r.Queue, Kind: r.Kind, State: state, Ran: took + timeoutGrace})
		}
		if len(list) > 0 {
			return 0, nil // there may be more
		}
		return timeoutEvery, nil
	}
}
