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

// overdue is an attempt that nobody is there to end: of a remote worker, or of an endpoint that accepted it.
type overdue struct {
	ID               TaskID
	Queue            Queue
	WorkerID         WorkerID
	Attempt          int
	Kind             string
	TimeoutMS        *int64
	Endpoint         string // "": of a remote worker
	CompleteWithinMS *int64 // of the endpoint, when that is over
	Cancelled        bool
	RanMS            int64
}

// failure is what the attempt ends with.
func (o overdue) failure() Failure {
	switch {
	case o.Endpoint == "":
		return Failure{Code: "timeout", Message: fmt.Sprintf("timed out after %s; the worker had not ended it %s later", milli(o.TimeoutMS), timeoutGrace)}
	case o.Cancelled:
		return Failure{Code: "cancelled", Message: fmt.Sprintf("cancelled after endpoint %s answered 202", o.Endpoint)}
	case o.CompleteWithinMS != nil:
		return Failure{Code: "timeout", Message: fmt.Sprintf("endpoint %s answered 202 and did not end the task within %s", o.Endpoint, milli(o.CompleteWithinMS))}
	}
	return Failure{Code: "timeout", Message: fmt.Sprintf("timed out after %s; endpoint %s answered 202 and did not end the task", milli(o.TimeoutMS), o.Endpoint)}
}

// askTimeOut ends attempts of remote workers and endpoints whose time is over, or which are to be cancelled and nobody is there to be told.
// Their lease rows say when to look (sql/lease_timeout.sql, sql/accept.sql).
func (c *Client) askTimeOut(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	var list []overdue
	batch.Queue(sql.TimeOut, timeoutBatch).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[overdue])
		return err
	})
	return func(ctx context.Context) (time.Duration, error) {
		for _, o := range list {
			state, err := c.Fail(ctx, Lease{Task: o.ID, Queue: o.Queue, Worker: o.WorkerID, Attempt: o.Attempt}, o.failure())
			if errors.Is(err, ErrLeaseLost) { // it has ended meanwhile
				continue
			}
			if err != nil {
				return 0, err
			}
			c.Count(Ended{Queue: o.Queue, Kind: o.Kind, State: state, Ran: milli(&o.RanMS)})
			c.counters.remote.end(o.Queue, o.Kind, remoteOutcome(Settling{Verb: VerbFail}, state), milli(&o.RanMS))
		}
		if len(list) > 0 {
			return 0, nil // there may be more
		}
		return timeoutEvery, nil
	}
}
