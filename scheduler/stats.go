package scheduler

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

const (
	statsEvery   = 5 * time.Second // how long counts stay in memory
	statsTimeout = 2 * time.Second // of adding them
	statsMost    = 1000            // queues and kinds counted between two times; what is beyond is not
)

// Ended is how an attempt ended, to be counted.
type Ended struct {
	Queue  Queue
	Kind   string
	State  State         // what the task became: Completed, Failed, Cancelled; Scheduled or Ready: it failed and is tried again
	Ran    time.Duration // from its start to its end
	Waited time.Duration // from when it was due to its start
}

// Count counts the end of an attempt for Stats. It does no round trip: counts are added to the database every 5 s, and at Close;
// a process that is killed takes those of a few seconds with it. Workers call it. Never blocks.
func (c *Client) Count(e Ended) {
	c.tallies.add(e.Queue, e.Kind, func(t *tally) {
		switch e.State {
		case Completed:
			t.completed++
		case Failed:
			t.dead++
		case Cancelled:
			t.cancelled++
		default:
			t.failed++
		}
		t.ran += e.Ran
		t.waited += max(0, e.Waited) // clocks differ
	})
}

// tally is what was counted of one queue and kind.
type tally struct {
	completed, failed, dead, cancelled, crashed int64
	ran, waited                                 time.Duration
}

type tallied struct {
	queue Queue
	kind  string
}

// tallies are counts on their way to the database. An idle process has none, and writes nothing. Safe for concurrent use.
type tallies struct {
	flush func(map[tallied]*tally) error

	mu      sync.Mutex
	counts  map[tallied]*tally
	timer   *time.Timer // runs while there are counts; nil: there are none
	closed  bool
	flights sync.WaitGroup
}

func (t *tallies) add(queue Queue, kind string, count func(*tally)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	key := tallied{queue, kind}
	its := t.counts[key]
	if its == nil {
		if len(t.counts) >= statsMost {
			return
		}
		if t.counts == nil {
			t.counts = map[tallied]*tally{}
		}
		its = &tally{}
		t.counts[key] = its
	}
	count(its)
	if t.timer == nil {
		t.timer = time.AfterFunc(statsEvery, t.fly)
	}
}

// fly adds what was counted to the database; what could not be added waits for the next time.
func (t *tallies) fly() {
	t.mu.Lock()
	counts := t.counts
	t.counts, t.timer = nil, nil
	if len(counts) == 0 || t.closed {
		t.counts = counts
		t.mu.Unlock()
		return
	}
	t.flights.Add(1) // close waits for it
	t.mu.Unlock()
	defer t.flights.Done()
	if t.flush(counts) == nil {
		return
	}
	for key, lost := range counts {
		t.add(key.queue, key.kind, func(its *tally) {
			its.completed, its.failed, its.dead = its.completed+lost.completed, its.failed+lost.failed, its.dead+lost.dead
			its.cancelled, its.crashed = its.cancelled+lost.cancelled, its.crashed+lost.crashed
			its.ran, its.waited = its.ran+lost.ran, its.waited+lost.waited
		})
	}
}

// close adds what is left. Nothing is counted any more.
func (t *tallies) close() {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	t.mu.Unlock()
	t.flights.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.counts) > 0 {
		_ = t.flush(t.counts) // it is logged
	}
	t.counts = nil
}

// addStats writes counts.
func (c *Client) addStats(ctx context.Context, counts map[tallied]*tally) error {
	ctx, cancel := context.WithTimeout(bePatient(ctx), cmp.Or(c.config.bear, statsTimeout))
	defer cancel()
	keys := make([]tallied, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b tallied) int { return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.kind, b.kind)) })
	queues, kinds := make([]Queue, len(keys)), make([]string, len(keys))
	columns := map[string][]int64{}
	for i, key := range keys {
		its := counts[key]
		queues[i], kinds[i] = key.queue, key.kind
		for name, n := range map[string]int64{"completed": its.completed, "failed": its.failed, "dead": its.dead, "cancelled": its.cancelled,
			"crashed": its.crashed, "run_ms": its.ran.Milliseconds(), "wait_ms": its.waited.Milliseconds()} {
			columns[name] = append(columns[name], n)
		}
	}
	args := pgx.StrictNamedArgs{"queues": queues, "kinds": kinds}
	for name, column := range columns {
		args[name] = column
	}
	_, err := c.pool.Exec(ctx, sql.StatsAdd, args)
	if err != nil {
		c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "stats", slog.Any("err", err))
	}
	return err
}

// Stat is how attempts of one queue and kind ended within one step of time.
type Stat struct {
	At        time.Time `db:"at"` // the beginning of the step
	Queue     Queue     `db:"queue"`
	Kind      string    `db:"kind"`
	Completed int64     `db:"completed"`
	Failed    int64     `db:"failed"`    // and are tried again
	Dead      int64     `db:"dead"`      // and were given up
	Cancelled int64     `db:"cancelled"` // on request
	Crashed   int64     `db:"crashed"`   // their worker was lost
	RunMS     int64     `db:"run_ms"`    // of all but the crashed, summed
	WaitMS    int64     `db:"wait_ms"`   // from due to start, summed
}

// StatsFilter chooses what Stats returns. Zero fields choose all.
type StatsFilter struct {
	Queue Queue
	Kind  string
	Day   bool // the last 24 h by quarters of an hour; false: the last hour by minutes
}

// Step is the length of the steps that the filter asks for, and Span how far back they go.
func (f StatsFilter) Step() (step, span time.Duration) {
	if f.Day {
		return 15 * time.Minute, 24 * time.Hour
	}
	return time.Minute, time.Hour
}

// Stats returns how attempts ended, oldest first; steps in which none did are left out. The last few seconds are not in it yet.
func (c *Client) Stats(ctx context.Context, f StatsFilter) ([]Stat, error) {
	if !storable(string(f.Queue)) || !storable(f.Kind) {
		return []Stat{}, nil // nothing has such a name
	}
	step, span := f.Step()
	return all[Stat](ctx, c.reads, "read stats", sql.Stats, pgx.StrictNamedArgs{"span_ms": span.Milliseconds(), "step_ms": step.Milliseconds(),
		"queue": null(string(f.Queue)), "kind": null(f.Kind)})
}
