package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/migrations"
	"github.com/pgscheduler/scheduler/scheduler"
)

func TestUnavailable(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"08000": true, "08003": true, "08006": true, "08P01": true, // connection
		"25006": true, "40001": true, "40P01": true, "55P03": true, "57014": true, "57P01": true, "57P02": true, "57P03": true, "57P05": true,
		"53000": true, "53100": true, "53200": true, "53300": true, "58000": true, "58030": true, // resources, system
		"22023": false, "22P02": false, "22P05": false, "23505": false, "23514": false, "42P01": false, "3F000": false, "28P01": false, "0A000": false, "57000": false,
	} {
		err := fmt.Errorf("submit: %w", &pgconn.PgError{Code: code})
		if got := scheduler.Unavailable(err); got != want {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {errors.New("x"), false}, {scheduler.ErrLeaseLost, false}, {scheduler.ErrNotFound, false}, {&scheduler.InvalidError{}, false},
		{&scheduler.KeyReusedError{}, false}, {&scheduler.SchemaError{}, false}, {context.Canceled, false}, {io.EOF, false},
		{context.DeadlineExceeded, true}, {fmt.Errorf("x: %w", context.DeadlineExceeded), true}, {net.ErrClosed, true}, {io.ErrUnexpectedEOF, true},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true}, {fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), true},
	} {
		if got := scheduler.Unavailable(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// What comes up for real: a connection that is cut off, a statement that takes too long, a pool that is closed.
func TestRealErrorsAreUnavailable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{MaxConns: 1})
	tx := r.begin()
	_, err := tx.Exec(r.ctx, `lock table scheduler.tasks`)
	must(t, err)
	if _, err := client.Submit(r.ctx, scheduler.NewTask{Kind: "k"}); !scheduler.Unavailable(err) {
		t.Errorf("waited in vain for a lock: %v", err)
	}
	client.Close()
	client = r.open(scheduler.Patient(scheduler.Config{MaxConns: 1})) // it waits until it is cut off
	answer := make(chan error)
	go func() { answer <- second(client.Submit(r.ctx, scheduler.NewTask{Kind: "k"})) }() // received below
	await(t, "the submit waits", func() bool { return r.someoneWaits() })
	r.exec(`select pg_terminate_backend(pid) from pg_locks join pg_stat_activity a using (pid) where not granted and a.datname = current_database()`)
	if err := <-answer; !scheduler.Unavailable(err) {
		t.Errorf("cut off: %v", err)
	}
	must(t, tx.Rollback(r.ctx))
	must(t, second(client.Submit(r.ctx, scheduler.NewTask{Kind: "k"}))) // by itself
	client.Close()
	if _, err := client.Submit(r.ctx, scheduler.NewTask{Kind: "k"}); !scheduler.Unavailable(err) {
		t.Errorf("closed: %v", err)
	}
}

// serverRig is a rig on a PostgreSQL of its own, to be stopped and killed.
func serverRig(t *testing.T) (r *rig, kill func() error, halt func() error, restart func()) {
	t.Helper()
	server := pgtest.Server(t, nil)
	url := server.URL("scheduler")
	_, err := migrations.Up(t.Context(), url)
	must(t, err)
	r = &rig{t: t, ctx: t.Context(), url: url, logs: &logs{}}
	r.client = r.open(scheduler.Config{})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("logged:\n%s", r.logs)
		}
	})
	return r, server.Kill, server.Halt, func() { must(t, server.Restart(t.Context())) }
}

// reconnect gives the rig a fresh pool past the client.
func (r *rig) reconnect() {
	pool, err := pgxpool.New(r.ctx, r.url)
	must(r.t, err)
	r.t.Cleanup(pool.Close)
	r.db = pool
}

// The database goes away and comes back: calls fail as unavailable meanwhile, work again by themselves, and whoever listens is told.
func TestDatabaseGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	r, _, halt, restart := serverRig(t)
	e := r.listen(r.client)
	r.maintain(r.client)
	await(t, "listening", func() bool { return e.count(connected) == 1 })
	for round := 1; round <= 2; round++ {
		must(t, halt())
		for what, call := range map[string]func(context.Context) error{
			"submit": func(ctx context.Context) error { return second(r.client.Submit(ctx, scheduler.NewTask{Kind: "k"})) },
			"many": func(ctx context.Context) error {
				return second(r.client.SubmitMany(ctx, []scheduler.NewTask{{Kind: "k", UniqueKey: "u"}}))
			},
			"task":   func(ctx context.Context) error { return second(r.client.Task(ctx, scheduler.NewTaskID())) },
			"cancel": func(ctx context.Context) error { return second(r.client.Cancel(ctx, scheduler.NewTaskID(), "")) },
			"ping":   func(ctx context.Context) error { return r.client.Ping(ctx) },
			"heartbeat": func(ctx context.Context) error {
				return second(r.client.Heartbeat(ctx, scheduler.NewWorkerID(), scheduler.Beat{}))
			},
			"complete": func(ctx context.Context) error { return r.client.Complete(ctx, scheduler.Lease{}, nil) },
			"open": func(ctx context.Context) error {
				return second(scheduler.Open(ctx, scheduler.Config{DatabaseURL: r.url}))
			},
		} {
			ctx, cancel := context.WithTimeout(r.ctx, patience)
			if err := call(ctx); !scheduler.Unavailable(err) {
				t.Errorf("%s while it is away: %v", what, err)
			}
			if ctx.Err() != nil {
				t.Errorf("%s hangs while it is away", what)
			}
			cancel()
		}
		restart()
		must(t, second(r.client.Submit(r.ctx, scheduler.NewTask{Kind: "k", Delay: 10 * time.Millisecond})))
		await(t, "listening again", func() bool { return e.count(connected) == 1+2*round }) // it tells of each loss and each return
		r.reconnect()
		await(t, "promoted", func() bool {
			return read[int](r, `select count(*) from scheduler.tasks where state = 'ready'`) == round
		})
	}
}

// PostgreSQL is killed under load, three times: each submit that was acknowledged is there afterwards, and one that was tried again
// under its key until it was acknowledged is there once.
func TestNoAcknowledgedTaskIsLostWhenPostgreSQLIsKilled(t *testing.T) {
	t.Parallel()
	r, kill, _, restart := serverRig(t)
	var mu sync.Mutex
	acknowledged := map[scheduler.TaskID]string{} // with their keys
	var kinds [3]int                              // acknowledged by each door
	note := func(door int, id scheduler.TaskID, key string) {
		mu.Lock()
		defer mu.Unlock()
		acknowledged[id] = key
		kinds[door]++
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	stop := make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	pool, err := pgxpool.New(r.ctx, r.url)
	must(t, err)
	defer pool.Close()
	submits := []func(key string) (scheduler.TaskID, error){
		func(key string) (scheduler.TaskID, error) {
			s, err := r.client.Submit(r.ctx, scheduler.NewTask{Kind: "k", IdempotencyKey: key})
			return s.ID, err
		},
		func(key string) (scheduler.TaskID, error) {
			list, err := r.client.SubmitMany(r.ctx, []scheduler.NewTask{{Kind: "k"}, {Kind: "k", IdempotencyKey: key}})
			if err != nil {
				return scheduler.TaskID{}, err
			}
			note(1, list[0].ID, "")
			return list[1].ID, nil
		},
		func(key string) (scheduler.TaskID, error) {
			return r.viaSQL(pool, scheduler.NewTask{Kind: "k", IdempotencyKey: key})
		},
	}
	var all sync.WaitGroup
	for hand := range 9 {
		all.Go(func() {
			for n := 0; !stopped(); n++ {
				door, key := hand%3, fmt.Sprint(hand, ".", n)
				id, err := submits[door](key)
				for err != nil && !stopped() { // until it is acknowledged
					if !scheduler.Unavailable(err) {
						t.Errorf("door %d: %v", door, err)
						return
					}
					wait := time.NewTimer(10 * time.Millisecond)
					<-wait.C
					id, err = submits[door](key)
				}
				if err == nil {
					note(door, id, key)
				}
			}
		})
	}
	for round := 1; round <= 3; round++ {
		before := count()
		await(t, "load", func() bool { return count() > before+300 })
		must(t, kill())
		restart()
	}
	before := count()
	await(t, "load after the last restart", func() bool { return count() > before+300 })
	close(stop)
	all.Wait()
	r.reconnect()
	stored := map[scheduler.TaskID]bool{}
	for _, id := range column[scheduler.TaskID](r, `select id from scheduler.tasks`) {
		stored[id] = true
	}
	for id, key := range acknowledged {
		if !stored[id] {
			t.Errorf("task %s, key %q, was acknowledged and is gone", id, key)
		}
	}
	if n := read[int](r, `select count(*) - count(distinct idempotency_key) from scheduler.tasks where idempotency_key is not null`); n != 0 {
		t.Errorf("%d keys have more than one task", n)
	}
	t.Logf("%d acknowledged, by door %v; %d stored", len(acknowledged), kinds, len(stored))
}
