package self

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// kind of the tasks that are run.
const kind = "bench.noop"

// subject is the scheduler as package load sees it.
type subject struct {
	client *scheduler.Client
	stage  *Stage
	setup  load.Setup
	pad    string
	submit SubmitFunc

	mu     sync.Mutex
	conn   *pgx.Conn // for counting
	ending []func()  // what Close does first
	closed sync.Once
}

func (s *Stage) open(ctx context.Context) (*scheduler.Client, error) {
	return scheduler.Open(ctx, scheduler.Config{DatabaseURL: s.config.DatabaseURL, Logger: s.config.Logger})
}

// Open opens the scheduler as a subject.
func (s *Stage) Open(ctx context.Context, setup load.Setup) (load.Subject, error) {
	its, err := s.subject(ctx, setup)
	if err != nil {
		return nil, err // not a nil *subject
	}
	return its, nil
}

func (s *Stage) subject(ctx context.Context, setup load.Setup) (*subject, error) {
	client, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, s.config.DatabaseURL)
	if err != nil {
		client.Close()
		return nil, err
	}
	return &subject{client: client, stage: s, setup: setup, pad: load.Padding(setup.Payload), conn: conn,
		submit: func(ctx context.Context, task scheduler.NewTask) error {
			_, err := client.Submit(ctx, task)
			return err
		}}, nil
}

func (s *subject) task(at int64) scheduler.NewTask {
	return scheduler.NewTask{Kind: kind, Queue: s.stage.queue, Payload: load.Args{At: at, Pad: s.pad}}
}

// Insert stores n tasks with one call.
func (s *subject) Insert(ctx context.Context, n int) error {
	tasks := make([]scheduler.NewTask, n)
	for i := range tasks {
		tasks[i] = s.task(0)
	}
	_, err := s.client.SubmitMany(ctx, tasks)
	return err
}

// Submit stores one task.
func (s *subject) Submit(ctx context.Context, at int64) error { return s.submit(ctx, s.task(at)) }

// Work runs a worker.
func (s *subject) Work(ctx context.Context, handle func(at int64)) (stop func() error, err error) {
	registry := worker.NewRegistry()
	worker.Handle(registry, kind, func(_ context.Context, task *worker.Task[load.Args]) (*struct{}, error) {
		handle(task.Args.At)
		return nil, nil
	})
	w, err := worker.New(s.client, registry, worker.Config{Queues: []worker.Share{{Queue: s.stage.queue}},
		Concurrency: s.setup.Slots, Name: "bench", Logger: s.stage.config.Logger})
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { // ends with life; stop waits for it
		err := w.Run(life)
		if life.Err() == nil {
			s.setup.Fail(fmt.Errorf("the worker ended by itself: %w", err))
		} else if errors.Is(err, context.Canceled) { // others were done before it was entered
			err = nil
		}
		ended <- err
	}()
	return sync.OnceValue(func() error { cancel(); return <-ended }), nil
}

// Unfinished counts tasks that are not completed.
func (s *subject) Unfinished(ctx context.Context, all bool) (n int64, err error) {
	statement := sqlUnfinished
	if all {
		statement = sqlUnfinishedAll
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.conn.QueryRow(ctx, statement, s.stage.queue).Scan(&n)
	return n, err
}

// Analyze renews the planner's statistics.
func (s *subject) Analyze(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.conn.Exec(ctx, sqlAnalyze)
	return err
}

// Close ends all connections.
func (s *subject) Close() {
	s.closed.Do(func() {
		for _, end := range s.ending {
			end()
		}
		s.client.Close()
		_ = s.conn.Close(context.Background()) // it only read
	})
}
