package worker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// patience bounds every wait of these tests; nothing takes so long unless it never happens.
const patience = time.Minute

// timeout is that of tasks that must begin before it is over: one that does not is ended without its handler.
const timeout = begin

// begin is the timeout of tasks whose processes must have begun, and set their traps, before it is over.
const begin = 5 * time.Second

// none is the argument or result of a handler that has none.
type none = struct{}

// rig is a database of the test's own, clients on it, and what was logged.
type rig struct {
	t      *testing.T
	url    string
	client *scheduler.Client // of the test
	works  *scheduler.Client // of the workers; the same unless something stands between
	db     *pgxpool.Pool     // what the test and its handlers read and write by themselves
	logs   *logs
}

func newRig(t *testing.T) *rig { return newRigWith(t, scheduler.Config{}) }

// newRigWith opens the client as config says, on a fresh database.
func newRigWith(t *testing.T, config scheduler.Config) *rig {
	t.Helper()
	r := &rig{t: t, url: pgtest.DB(t), logs: &logs{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logged:\n%s", r.logs)
		}
	})
	config.DatabaseURL = r.url
	r.db = r.pool(r.url)
	r.client = r.open(config)
	r.works = r.client
	return r
}

// pool connects to the database without the scheduler's doing.
func (r *rig) pool(url string) *pgxpool.Pool {
	r.t.Helper()
	pool, err := pgxpool.New(r.t.Context(), url)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(pool.Close)
	return pool
}

func (r *rig) open(config scheduler.Config) *scheduler.Client {
	r.t.Helper()
	config.Logger = r.logs.logger()
	client, err := scheduler.Open(r.t.Context(), config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	return client
}

// running is a worker whose Run is under way.
type running struct {
	*worker.Worker
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Run; read after done
}

func (r *rig) start(registry *worker.Registry, config worker.Config) *running {
	r.t.Helper()
	return r.startOn(r.works, registry, config)
}

// startOn runs a worker until the test ends or stops it.
func (r *rig) startOn(client *scheduler.Client, registry *worker.Registry, config worker.Config) *running {
	r.t.Helper()
	config.Logger = r.logs.logger()
	w, err := worker.New(client, registry, config)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	x := &running{Worker: w, t: r.t, cancel: cancel, done: make(chan struct{})}
	go func() { // waited for by the cleanup
		defer close(x.done)
		x.err = w.Run(ctx)
	}()
	r.t.Cleanup(func() {
		cancel()
		w.Abort()
		x.wait()
	})
	return x
}

// stop asks the worker to end and returns what Run returned.
func (x *running) stop() error {
	x.t.Helper()
	x.cancel()
	return x.wait()
}

func (x *running) wait() error {
	x.t.Helper()
	receive(x.t, x.done, "the end of Run")
	return x.err
}

func (x *running) ended() bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

// receive waits for a value or the closing of a channel.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case v := <-from:
		return v
	case <-limit.C:
		t.Fatalf("waited %s for %s", patience, what)
		panic("not reached")
	}
}

// await polls a condition until it holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited %s for: %s", patience, what)
		}
	}
}

func (r *rig) submit(task scheduler.NewTask) scheduler.TaskID {
	r.t.Helper()
	s, err := r.client.Submit(r.t.Context(), task)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.ID
}

func (r *rig) task(id scheduler.TaskID) scheduler.Task {
	r.t.Helper()
	task, err := r.client.Task(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return task
}

// final waits until the task is in a final state.
func (r *rig) final(id scheduler.TaskID) scheduler.Task {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	task, err := r.client.Wait(ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	if !task.State.Done() {
		r.t.Fatalf("task is %s (attempt %d, %d failures, %d crashes) after %s", task.State, task.Attempt, task.Failures, task.Crashes, patience)
	}
	return task
}

// reach waits until the task is in the state.
func (r *rig) reach(id scheduler.TaskID, state scheduler.State) {
	r.t.Helper()
	await(r.t, "task "+string(state), func() bool { return r.task(id).State == state })
}

func (r *rig) attempts(id scheduler.TaskID) []scheduler.Attempt {
	r.t.Helper()
	list, err := r.client.Attempts(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// lines returns what the task logged to one stream.
func (r *rig) lines(id scheduler.TaskID, stream string) []string {
	r.t.Helper()
	var list []string
	for after := int64(0); ; {
		page, err := r.client.Logs(r.t.Context(), id, after, 1000)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(page) == 0 {
			return list
		}
		for _, l := range page {
			after = l.ID
			if l.Stream == stream {
				list = append(list, l.Message)
			}
		}
	}
}

func (r *rig) exec(statement string, args ...any) {
	r.t.Helper()
	if _, err := r.db.Exec(r.t.Context(), statement, args...); err != nil {
		r.t.Fatalf("%s: %v", statement, err)
	}
}

// read returns the one value of a query.
func read[T any](r *rig, query string, args ...any) T {
	r.t.Helper()
	rows, err := r.db.Query(r.t.Context(), query, args...)
	if err != nil {
		r.t.Fatalf("%s: %v", query, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		r.t.Fatalf("%s: %v", query, err)
	}
	return v
}

// text is a nullable text, "" when NULL.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// number is a nullable number, 0 when NULL.
func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// logs keeps what was logged, to be shown when the test fails.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var errBoom = errors.New("boom")
