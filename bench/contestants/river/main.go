// Command river is River under load: 2,000 workers unless told otherwise, the shortest cooldown between two fetches, no
// timeout of jobs, bulk inserts by COPY.
package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/pgscheduler/scheduler/bench/contestants/entry"
	"github.com/pgscheduler/scheduler/internal/load"
)

func main() { entry.Main(open) }

type args load.Args

func (args) Kind() string { return "noop" }

type handler struct {
	river.WorkerDefaults[args]
	handle func(at int64)
}

func (h *handler) Work(_ context.Context, job *river.Job[args]) error {
	h.handle(job.Args.At)
	return nil
}

type subject struct {
	pool   *pgxpool.Pool
	setup  load.Setup
	pad    string
	closed sync.Once

	client *river.Client[pgx.Tx]
	worker *handler
}

func open(ctx context.Context, databaseURL string, setup load.Setup) (load.Subject, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(min(max(10, setup.Clients), 32))
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &subject{pool: pool, setup: setup, pad: load.Padding(setup.Payload), worker: &handler{}}
	if err := s.start(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

func (s *subject) start(ctx context.Context) error {
	driver := riverpgxv5.New(s.pool)
	silent := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: silent})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, s.worker)
	s.client, err = river.NewClient(driver, &river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: s.setup.Slots}},
		Workers:           workers,
		FetchCooldown:     time.Millisecond,
		FetchPollInterval: time.Second,
		JobTimeout:        -1,
		Logger:            silent,
	})
	return err
}

func (s *subject) Insert(ctx context.Context, n int) error {
	jobs := make([]river.InsertManyParams, n)
	for i := range jobs {
		jobs[i].Args = args{Pad: s.pad}
	}
	_, err := s.client.InsertManyFast(ctx, jobs)
	return err
}

func (s *subject) Submit(ctx context.Context, at int64) error {
	_, err := s.client.Insert(ctx, args{At: at, Pad: s.pad}, nil)
	return err
}

func (s *subject) Work(ctx context.Context, handle func(at int64)) (stop func() error, err error) {
	s.worker.handle = handle
	if err := s.client.Start(ctx); err != nil {
		return nil, err
	}
	return func() error { return s.client.Stop(context.WithoutCancel(ctx)) }, nil
}

func (s *subject) Unfinished(ctx context.Context, all bool) (n int64, err error) {
	statement := `select count(*) from (select state from river_job order by id desc limit 25000) newest where state <> 'completed'`
	if all {
		statement = `select count(*) from river_job where state <> 'completed'`
	}
	err = s.pool.QueryRow(ctx, statement).Scan(&n)
	return n, err
}

func (s *subject) Analyze(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "analyze")
	return err
}

func (s *subject) Close() { s.closed.Do(s.pool.Close) }
