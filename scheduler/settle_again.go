package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// counted is an attempt as it is counted.
type counted struct {
	kind        string
	ran, waited time.Duration
}

// queueCounts queues the question what is counted of those that end; the answers are there, by place in the round, once the batch is
// done.
func (r *round) queueCounts(batch *pgx.Batch) map[int]counted {
	which := slices.Concat(r.of(VerbComplete), r.of(VerbFail), r.of(VerbRelease))
	counts := make(map[int]counted, len(which))
	if len(which) == 0 {
		return counts
	}
	queues, ids := make([]Queue, len(which)), make([]TaskID, len(which))
	for at, i := range which {
		queues[at], ids[at] = r.in[i].Queue, r.in[i].Task
	}
	batch.Queue(sql.Ended, queues, ids).Query(func(rows pgx.Rows) error {
		var place int32
		var kind string
		var ran, waited *int64
		_, err := pgx.ForEachRow(rows, []any{&place, &kind, &ran, &waited}, func() error {
			counts[which[place-1]] = counted{kind, milli(ran), milli(waited)}
			return nil
		})
		return err
	})
	return counts
}

func milli(n *int64) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Millisecond
}

// countEnds counts attempts that were ended. What was handed back is no end for the statistics.
func (c *Client) countEnds(in []Settling, answers []answer[Settlement], counts map[int]counted) {
	for i, its := range counts {
		if answers[i].err != nil {
			continue
		}
		state := answers[i].out.State
		if in[i].Verb != VerbRelease {
			c.Count(Ended{Queue: in[i].Queue, Kind: its.kind, State: state, Ran: its.ran, Waited: its.waited})
		}
		c.counters.remote.end(in[i].Queue, its.kind, remoteOutcome(in[i], state), its.ran)
	}
}

// countLost counts those that had another end, for good or for bad.
func (c *Client) countLost(in []Settling, answers []answer[Settlement]) {
	lost := uint64(0)
	for i, a := range answers {
		if in[i].Verb != VerbHeartbeat && errors.Is(a.err, ErrLeaseLost) {
			lost++
		}
	}
	if lost > 0 {
		c.counters.remote.lose(lost)
	}
}

// settleAgain looks whether those that found their lease used up had used it up themselves: then they are answered as they were.
func (c *Client) settleAgain(ctx context.Context, in []Settling, answers []answer[Settlement]) {
	var which []int
	var leases []Lease
	for i, a := range answers {
		if in[i].Verb != VerbHeartbeat && errors.Is(a.err, ErrLeaseLost) {
			which, leases = append(which, i), append(leases, in[i].Lease)
		}
	}
	if which == nil {
		return
	}
	rows, err := c.hot.Query(ctx, sql.SettledHow, leaseArgs(leases)...)
	if err == nil {
		var place int32
		var outcome string
		var state State
		_, err = pgx.ForEachRow(rows, []any{&place, &outcome, &state}, func() error {
			if i := which[place-1]; in[i].Verb.ends(outcome) {
				answers[i] = answer[Settlement]{out: Settlement{State: state}}
			}
			return nil
		})
	}
	if err != nil { // those are in doubt, the others are done
		for _, i := range which {
			answers[i] = answer[Settlement]{err: fmt.Errorf("settled: %w", err)}
		}
	}
}

// ends reports whether an attempt with the outcome was ended by the verb.
func (v Verb) ends(outcome string) bool {
	switch v {
	case VerbComplete:
		return outcome == "completed"
	case VerbFail:
		return outcome == "failed" || outcome == "cancelled"
	case VerbRelease:
		return outcome == "released" || outcome == "snoozed" || outcome == "cancelled"
	}
	return false
}
