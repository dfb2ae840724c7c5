package scheduler

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgscheduler/scheduler/sql"
)

const (
	cheapLease   = 5 * time.Millisecond  // a lease from the beginning that takes no longer is always done
	cheapPerTask = 50 * time.Microsecond // on top, for each task that it took
	rescanShare  = 20                    // dearer ones are done within one part in so many of the time,
	rescanLatest = time.Second           // and never later than this: what comes back or overtakes must not wait for long
	costlyWalk   = 50 * time.Millisecond // for nothing: then it is worth asking where the ready tasks end
)

// position is a place in the order of leasing: priority, due time, id.
type position struct {
	Priority int16
	RunAt    pgtype.Timestamptz
	ID       TaskID
}

// beginning is before every task.
var beginning = position{Priority: -32768, RunAt: pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}}

// positions remembers for each queue where the last lease ended. While somebody holds an old snapshot, the entries of
// finished tasks stay at the head of the index, and every lease from the beginning walks them all; so does one behind many
// tasks of kinds that the worker cannot run. Leasing from the remembered position passes them by. What lies before it, late
// commits, higher priorities and retries, is found by going back to the beginning: every time while that is cheap, else as
// often as rescanShare allows, once a second at the least. Safe for concurrent use.
type positions struct {
	mu     sync.Mutex
	queues map[Queue]*walk
}

type walk struct {
	end    position      // of the last lease
	cost   time.Duration // of the last lease from the beginning
	rescan time.Time     // not from the beginning before this
	size   int           // how many tasks the last lease took
}

// from returns where to start looking.
func (p *positions) from(queue Queue, now time.Time) position {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.queues[queue]
	if w == nil || !now.Before(w.rescan) {
		return beginning
	}
	return w.end
}

// note takes in that a lease from start took so long and ended at end (of the last of n tasks).
func (p *positions) note(queue Queue, start, end position, n int, now time.Time, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queues == nil {
		p.queues = map[Queue]*walk{}
	}
	w := p.queues[queue]
	if w == nil {
		w = &walk{end: beginning}
		p.queues[queue] = w
	}
	w.size = n
	if n > 0 {
		w.end = end
	}
	if start == beginning {
		w.cost, w.rescan = took, now
		if took > cheapLease+time.Duration(n)*cheapPerTask {
			w.rescan = now.Add(min((rescanShare-1)*took, rescanLatest))
		}
	}
}

// size returns how many tasks the last lease of the queue took.
func (p *positions) size(queue Queue) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.queues[queue]; w != nil {
		return w.size
	}
	return 0
}

// skipForeign asks where the ready tasks of a queue end, after a long walk that found none to take: they are of kinds that
// others run, and what comes next comes after them.
func (c *Client) skipForeign(ctx context.Context, queue Queue) error {
	rows, err := c.hot.Query(ctx, sql.LeaseTail, queue)
	if err != nil {
		return err
	}
	end, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[position])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err == nil {
		c.positions.mu.Lock()
		c.positions.queues[queue].end = end
		c.positions.mu.Unlock()
	}
	return err
}
