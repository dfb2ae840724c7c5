package self

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

const (
	leaseSize   = 100
	leases      = 20
	walks       = 5                // leases explained
	walksWithin = 20 * time.Second // no further one after that
	fillBatch   = 100_000          // rows of one insert
)

// backlog measures what a lease of a hundred tasks costs: with ten thousand ready tasks and nothing else (case none), with
// Tasks ready, as many scheduled and twice as many finished (full), and with a fifth of Tasks at the head of the queue of a
// kind that the worker does not run (foreign).
func (s *Stage) backlog(ctx context.Context, r *load.Run, emit load.Emit) error {
	load.Default(&r.Tasks, 1_000_000)
	r.Setup()
	const ready = 10_000
	if err := s.stock(ctx, r, "none", stock{"ready", kind, min(ready, r.Tasks), "0", -day}); err != nil {
		return err
	}
	if err := s.leases(ctx, r, "none", emit); err != nil {
		return err
	}
	if err := s.Reset(ctx); err != nil {
		return err
	}
	err := s.stock(ctx, r, "full", stock{"completed", kind, 2 * r.Tasks, "1", -2 * day}, stock{"scheduled", kind, r.Tasks, "2", day},
		stock{"ready", kind, r.Tasks, "3", -day})
	if err != nil {
		return err
	}
	if err := s.leases(ctx, r, "full", emit); err != nil {
		return err
	}
	if err := s.stock(ctx, r, "foreign", stock{"ready", "bench.foreign", r.Tasks / 5, "4", -3 * day}); err != nil {
		return err
	}
	return s.leases(ctx, r, "foreign", emit)
}

// stock is rows of one kind to be stored.
type stock struct {
	state string
	kind  string
	rows  int
	mark  string        // hex digit, another for each stock
	due   time.Duration // from now
}

const day = 24 * time.Hour

// stock stores rows, and vacuums and analyzes as autovacuum would have long ago.
func (s *Stage) stock(ctx context.Context, r *load.Run, name string, stocks ...stock) error {
	var total int
	for _, stock := range stocks {
		total += stock.rows
	}
	var stored atomic.Int64
	defer r.Watch("fill "+name, int64(total), stored.Load)()
	payload, err := json.Marshal(load.Args{Pad: load.Padding(r.Payload)})
	if err != nil {
		return err
	}
	worker := scheduler.NewWorkerID()
	for _, stock := range stocks {
		for from := 1; from <= stock.rows; from += fillBatch {
			to := min(from+fillBatch-1, stock.rows)
			if _, err := s.conn.Exec(ctx, sqlFill, s.queue, stock.kind, stock.state, from, to, stock.mark, stock.due.Seconds(), string(payload), worker); err != nil {
				return fmt.Errorf("fill: %w", err)
			}
			stored.Add(int64(to - from + 1))
		}
	}
	_, err = s.conn.Exec(ctx, sqlVacuum)
	return err
}

// leases measures leases as a worker takes them, then single ones from the beginning of the queue.
func (s *Stage) leases(ctx context.Context, r *load.Run, name string, emit load.Emit) error {
	out := load.Result{Workload: r.Name, Case: name}
	if err := s.take(ctx, r, &out); err != nil {
		return err
	}
	if err := s.walk(ctx, &out); err != nil {
		return err
	}
	return emit(out)
}

// take leases tasks through a client of its own.
func (s *Stage) take(ctx context.Context, r *load.Run, out *load.Result) error {
	before, err := s.pages(ctx, r)
	if err != nil {
		return err
	}
	client, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	id, err := s.enlist(ctx, client)
	if err != nil {
		return err
	}
	asks, kinds := []scheduler.Ask{{Queue: s.queue, Limit: leaseSize}}, []string{kind}
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return err
	}
	var took []time.Duration
	for i := range leases + 1 {
		began := time.Now()
		tasks, err := client.Lease(ctx, id, kinds, asks)
		if err != nil {
			return err
		}
		if i > 0 { // the first connects and prepares
			took = append(took, time.Since(began))
		}
		out.Tasks += int64(len(tasks))
	}
	usage, err := r.Gauge.End(ctx, span)
	if err != nil {
		return err
	}
	client.Close()
	after, err := s.pages(ctx, r)
	if err != nil {
		return err
	}
	out.Seconds = load.Round(usage.Took.Seconds())
	out.PerTask(usage)
	out.Percentiles(took)
	out.Buffers = load.Figure(float64(after-before) / (leases + 1))
	if missed := (leases+1)*leaseSize - out.Tasks; missed > 0 {
		out.Note(fmt.Sprintf("%d of %d tasks were not to be had", missed, (leases+1)*leaseSize))
	}
	return nil
}

// pages reads how many pages were asked for, once all have closed their connections that did.
func (s *Stage) pages(ctx context.Context, r *load.Run) (n int64, err error) {
	if err := r.Gauge.Settle(ctx); err != nil {
		return 0, err
	}
	err = s.conn.QueryRow(ctx, sqlPages).Scan(&n)
	return n, err
}

// enlist registers a worker that leases and never runs anything.
func (s *Stage) enlist(ctx context.Context, client *scheduler.Client) (scheduler.WorkerID, error) {
	id := scheduler.NewWorkerID()
	return id, client.Register(ctx, scheduler.WorkerInfo{ID: id, Name: "bench", Queues: []scheduler.Queue{s.queue}, Kinds: []string{kind},
		Slots: leaseSize, TTL: load.Most})
}

// walk explains leases from the beginning of the queue, with plans pinned as a client's are.
func (s *Stage) walk(ctx context.Context, out *load.Result) error {
	client, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	id, err := s.enlist(ctx, client)
	if err != nil {
		return err
	}
	config, err := pgx.ParseConfig(s.config.DatabaseURL)
	if err != nil {
		return err
	}
	for _, name := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit"} {
		config.RuntimeParams[name] = "off"
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // all it did is committed
	var took, buffers []float64
	for began := time.Now(); len(took) < walks && time.Since(began) < walksWithin; {
		ms, pages, err := explain(ctx, conn, leaseArguments(id, s.queue))
		if err != nil {
			return err
		}
		took, buffers = append(took, ms), append(buffers, pages)
	}
	out.WalkMS, out.WalkBuffers = load.Figure(median(took)), load.Figure(median(buffers))
	return nil
}

// leaseArguments are those of sql.Lease, from the beginning of the queue; a test counts them.
func leaseArguments(id scheduler.WorkerID, queue scheduler.Queue) []any {
	return []any{id, queue, leaseSize, []string{kind}, int16(-32768), "-infinity", "00000000-0000-0000-0000-000000000000"}
}

// explain runs a lease and returns PostgreSQL's own time for it and the pages that it asked for. That is the one statement
// put together here: EXPLAIN takes no other by a parameter.
func explain(ctx context.Context, conn *pgx.Conn, args []any) (ms, pages float64, err error) {
	var plans []struct {
		Plan struct {
			Hit  float64 `json:"Shared Hit Blocks"`
			Read float64 `json:"Shared Read Blocks"`
		} `json:"Plan"`
		Execution float64 `json:"Execution Time"`
	}
	if err := conn.QueryRow(ctx, "explain (analyze, buffers, timing off, format json) "+sql.Lease, args...).Scan(&plans); err != nil {
		return 0, 0, fmt.Errorf("explain lease: %w", err)
	}
	if len(plans) != 1 {
		return 0, 0, fmt.Errorf("explain lease: %d plans", len(plans))
	}
	return plans[0].Execution, plans[0].Plan.Hit + plans[0].Plan.Read, nil
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}
