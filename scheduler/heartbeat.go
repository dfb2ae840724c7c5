package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// WorkerInfo is what a worker process says of itself.
type WorkerInfo struct {
	ID       WorkerID // fresh; see NewWorkerID
	Name     string   // for people, e.g. host:pid
	Host     string
	PID      int
	Version  string
	Language string // of its handlers, e.g. php 8.2
	Queues   []Queue
	Kinds    []string
	Slots    int           // tasks at once
	TTL      time.Duration // of silence until it is dead and its tasks are given back
}

// Register enters a worker, alive from now on.
func (c *Client) Register(ctx context.Context, w WorkerInfo) error {
	if _, err := c.vital.Exec(ctx, sql.Register, registerArgs(w)); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	return nil
}

func registerArgs(w WorkerInfo) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{"id": w.ID, "name": CleanText(w.Name, 200), "host": CleanText(w.Host, 200),
		"pid": w.PID, "version": CleanText(w.Version, 100), "language": CleanText(w.Language, 100),
		"queues": w.Queues, "kinds": w.Kinds, "slots": w.Slots, "ttl_ms": w.TTL.Milliseconds()}
}

// Beat is what a worker tells with its heartbeat.
type Beat struct {
	Running int     // tasks
	Held    []int64 // LeasedTask.Group with tasks that have not ended
	Ended   []int64 // LeasedTask.Group whose tasks have all ended
	Memory  int64   // bytes that the worker holds; 0: unknown
}

// Command is what a worker is asked to do.
type Command string

// The commands.
const (
	CommandRun   Command = "run"   // work
	CommandQuiet Command = "quiet" // finish what runs, lease nothing more
	CommandStop  Command = "stop"  // quiet, then end
)

// Orders is what a heartbeat brings back.
type Orders struct {
	Command   Command
	Cancelled []TaskID // running tasks to cancel, again and again until they have ended
	Paused    []Queue  // of the worker's queues
	Strays    bool     // there are leases of which it did not tell: their answer was lost; call Reclaim
}

// Heartbeat renews all leases of a worker with one update. It returns ErrWorkerLost when the worker was declared dead.
func (c *Client) Heartbeat(ctx context.Context, id WorkerID, beat Beat) (Orders, error) {
	rows, err := c.vital.Query(bePatient(ctx), sql.Heartbeat, id, beat.Running, beat.Ended, beat.Held, null(beat.Memory))
	if err != nil {
		return Orders{}, fmt.Errorf("heartbeat: %w", err)
	}
	orders, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Orders])
	if errors.Is(err, pgx.ErrNoRows) {
		return orders, ErrWorkerLost
	}
	if err != nil {
		return orders, fmt.Errorf("heartbeat: %w", err)
	}
	return orders, nil
}

// Reclaim hands back tasks that the worker leased without knowing, because the answer to Lease was lost on its way. held are
// the groups that it knows of; older spares younger leases. Not to be called while a Lease is under way, unless older is
// longer than that can last. It returns how many tasks were handed back.
func (c *Client) Reclaim(ctx context.Context, id WorkerID, held []int64, older time.Duration) (int, error) {
	type row struct{ ID TaskID }
	list, err := all[row](ctx, c.vital, "reclaim", sql.Reclaim, pgx.StrictNamedArgs{"worker": id, "held": held, "older_ms": older.Milliseconds()})
	return len(list), err
}

// Deregister takes out a worker that has ended all its tasks or handed them back.
func (c *Client) Deregister(ctx context.Context, id WorkerID) error {
	if _, err := c.vital.Exec(ctx, sql.Deregister, pgx.StrictNamedArgs{"worker": id}); err != nil {
		return fmt.Errorf("deregister: %w", err)
	}
	return nil
}

// Worker is a worker process as the database knows it.
type Worker struct {
	ID          WorkerID  `db:"id"`
	Name        string    `db:"name"`
	Host        string    `db:"host"`
	PID         int       `db:"pid"`
	Version     string    `db:"version"`
	Language    string    `db:"language"`     // of its handlers; "": it did not say
	MemoryBytes *int64    `db:"memory_bytes"` // at its last heartbeat; nil: it did not say
	Queues      []Queue   `db:"queues"`
	Kinds       []string  `db:"kinds"`
	Slots       int       `db:"slots"`
	Running     int       `db:"running"` // by its leases when it works over HTTP, else as it said with its last heartbeat
	Command     Command   `db:"command"`
	TTLMS       int64     `db:"ttl_ms"`
	StartedAt   time.Time `db:"started_at"`
	SeenAt      time.Time `db:"seen_at"`
	Live        bool      `db:"live"` // false: silent for its TTL, about to be rescued from
}

// Workers returns all workers, oldest first.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	return all[Worker](ctx, c.reads, "list workers", sql.Workers, nil)
}

// Command tells a worker to run, be quiet or stop; it hears at once when notifications flow, else with its next heartbeat.
// It returns ErrNotFound for an unknown worker and for one told to stop that is told otherwise, *InvalidError for an unknown
// command.
func (c *Client) Command(ctx context.Context, id WorkerID, command Command) error {
	if command != CommandRun && command != CommandQuiet && command != CommandStop {
		return invalid("command", "run, quiet or stop")
	}
	type row struct{ ID string }
	_, err := one[row](ctx, c.pool, string(command), sql.WorkerCommand, by(ctx, pgx.StrictNamedArgs{"id": id, "command": command}))
	if err == nil {
		c.dispatch.told(id, command)
	}
	return err
}
