package scheduler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

// patience bounds every wait of these tests; nothing takes so long unless it never happens.
const patience = 30 * time.Second

// rig is a database of the test's own, a client on it, and what was logged.
type rig struct {
	t      testing.TB
	ctx    context.Context
	url    string
	client *scheduler.Client
	db     *pgxpool.Pool // what the test reads and writes past the client
	logs   *logs
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, ctx: t.Context(), url: pgtest.DB(t), logs: &logs{}}
	r.db = r.pool(r.url)
	r.client = r.open(scheduler.Config{})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logged:\n%s", r.logs)
		}
	})
	return r
}

// pool connects past the client.
func (r *rig) pool(url string) *pgxpool.Pool {
	r.t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		r.t.Fatal(err)
	}
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	config.MaxConns = 20
	pool, err := pgxpool.NewWithConfig(r.ctx, config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(pool.Close)
	return pool
}

// open returns one more client on the rig's database, as another process would have it.
func (r *rig) open(config scheduler.Config) *scheduler.Client {
	r.t.Helper()
	if config.DatabaseURL == "" {
		config.DatabaseURL = r.url
	}
	config.Logger = r.logs.logger()
	client, err := scheduler.Open(r.ctx, config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	return client
}

// patient returns a client that waits for a lock until whoever has it lets go of it, and for answers, however long that takes.
func (r *rig) patient() *scheduler.Client {
	r.t.Helper()
	return r.open(scheduler.Patient(scheduler.Config{}))
}

// maintain runs a client's background duties until the test ends.
func (r *rig) maintain(client *scheduler.Client) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	var done sync.WaitGroup
	done.Go(func() { _ = client.Maintain(ctx) }) // ends with ctx; the cleanup waits
	r.t.Cleanup(func() { cancel(); done.Wait() })
}

func (r *rig) exec(statement string, args ...any) int {
	r.t.Helper()
	tag, err := r.db.Exec(r.ctx, statement, args...)
	if err != nil {
		r.t.Fatalf("%s: %v", statement, err)
	}
	return int(tag.RowsAffected())
}

// read returns the one value of a query.
func read[T any](r *rig, query string, args ...any) T {
	r.t.Helper()
	list := column[T](r, query, args...)
	if len(list) != 1 {
		r.t.Fatalf("%s: %d rows", query, len(list))
	}
	return list[0]
}

// column returns the values of a query's one column.
func column[T any](r *rig, query string, args ...any) []T {
	r.t.Helper()
	rows, err := r.db.Query(r.ctx, query, args...)
	if err != nil {
		r.t.Fatalf("%s: %v", query, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		r.t.Fatalf("%s: %v", query, err)
	}
	return list
}

// state is what one look at a task compares.
type state = map[string]any

// row returns all columns of a task as SQL sees them.
func (r *rig) row(id scheduler.TaskID) state {
	r.t.Helper()
	var s state
	if err := json.Unmarshal(read[[]byte](r, `select to_jsonb(t) from scheduler.tasks t where id = $1`, id), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) submit(task scheduler.NewTask) scheduler.TaskID {
	r.t.Helper()
	if task.Kind == "" {
		task.Kind = "k"
	}
	s, err := r.client.Submit(r.ctx, task)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.ID
}

// submitN submits n tasks of kind k and returns their ids.
func (r *rig) submitN(n int, like scheduler.NewTask) []scheduler.TaskID {
	r.t.Helper()
	like.Kind = "k"
	tasks := make([]scheduler.NewTask, n)
	for i := range tasks {
		tasks[i] = like
	}
	list, err := r.client.SubmitMany(r.ctx, tasks)
	if err != nil {
		r.t.Fatal(err)
	}
	ids := make([]scheduler.TaskID, n)
	for i, s := range list {
		ids[i] = s.ID
	}
	return ids
}

func (r *rig) task(id scheduler.TaskID) scheduler.Task {
	r.t.Helper()
	task, err := r.client.Task(r.ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return task
}

// state returns where a task is.
func (r *rig) state(id scheduler.TaskID) scheduler.State {
	r.t.Helper()
	return r.task(id).State
}

func (r *rig) attempts(id scheduler.TaskID) []scheduler.Attempt {
	r.t.Helper()
	list, err := r.client.Attempts(r.ctx, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// worker registers a worker of the default queue and of those named.
func (r *rig) worker(queues ...scheduler.Queue) scheduler.WorkerID {
	r.t.Helper()
	id := scheduler.NewWorkerID()
	err := r.client.Register(r.ctx, scheduler.WorkerInfo{ID: id, Name: "w-" + id.String()[:4], Host: "host", PID: 1,
		Queues: append([]scheduler.Queue{scheduler.DefaultQueue}, queues...), Kinds: []string{"k"}, Slots: 10, TTL: time.Hour})
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// kill makes a worker one that was silent for too long.
func (r *rig) kill(workers ...scheduler.WorkerID) {
	r.t.Helper()
	for _, id := range workers {
		r.exec(`update scheduler.workers set seen_at = seen_at - interval '2 hours' where id = $1`, id)
	}
}

// lease takes up to n tasks of kind k from the default queue.
func (r *rig) lease(worker scheduler.WorkerID, n int) []scheduler.LeasedTask {
	r.t.Helper()
	return r.leaseFrom(worker, scheduler.DefaultQueue, n)
}

func (r *rig) leaseFrom(worker scheduler.WorkerID, queue scheduler.Queue, n int) []scheduler.LeasedTask {
	r.t.Helper()
	r.client.ForgetPositions() // what comes back to the head of the queue is found at once
	tasks, err := r.client.Lease(r.ctx, worker, []string{"k"}, []scheduler.Ask{{Queue: queue, Limit: n}})
	if err != nil {
		r.t.Fatal(err)
	}
	return tasks
}

// running returns a task that a new worker has leased.
func (r *rig) running(task scheduler.NewTask) scheduler.Lease {
	r.t.Helper()
	id := r.submit(task)
	worker := r.worker(task.Queue)
	queue := task.Queue
	if queue == "" {
		queue = scheduler.DefaultQueue
	}
	for _, got := range r.leaseFrom(worker, queue, 1) {
		if got.Task == id {
			return got.Lease
		}
	}
	r.t.Fatalf("task %s was not to be had", id)
	return scheduler.Lease{}
}

// tx runs f in a transaction past the client, which is rolled back when f returns an error.
func (r *rig) tx(f func(tx pgx.Tx) error) error { return pgx.BeginFunc(r.ctx, r.db, f) }

// begin opens a transaction past the client, which the test ends, or else its cleanup.
func (r *rig) begin() pgx.Tx {
	r.t.Helper()
	tx, err := r.db.Begin(r.ctx)
	must(r.t, err)
	r.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(r.ctx)) }) // an error: it has ended
	return tx
}

// await polls a condition until it holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited %s for: %s", patience, what)
		}
	}
}

// must ends the test on an error.
func must(t interface {
	Helper()
	Fatal(args ...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sqlState returns the code of a database error, "" for another.
func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// text is a nullable text, "" when NULL.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// logs keeps what was logged, to be read or shown when the test fails.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
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
