package scheduler

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// A remote worker is one that has no connection to the database: it asks a server for tasks and tells it how they went. Like
// every worker it is a row, and its tasks are guarded by worker and attempt, so that it may ask any server at any time.

const (
	strayAfter  = 10 * time.Second // what a remote worker does not name so long after the lease is handed back: the answer was lost
	handInLimit = 5 * time.Second  // for handing back what nobody is there to take
)

// RemoteOrders is what a remote worker's heartbeat brings back.
type RemoteOrders struct {
	Command   Command
	ExpiresAt time.Time // when it is dead unless it is heard of; zero: it is unknown or was declared dead: all its leases are lost
	Cancelled []Lease   // of those told, to be ended soon
	Lost      []Lease   // of those told, to be stopped now
}

// RemoteHeartbeat renews a remote worker and all that it holds. held are all its leases: tasks that it has leased more than 10 s
// ago and does not name are handed back. memory is in bytes; 0: unknown. A worker that is not remote is as good as unknown.
func (c *Client) RemoteHeartbeat(ctx context.Context, id WorkerID, held []Lease, memory int64) (RemoteOrders, error) {
	running, began := len(held), time.Now()
	state, err := c.renewals.do(ctx, renewal{id: id, running: &running, memory: null(memory)})
	if err != nil {
		return RemoteOrders{}, err
	}
	c.dispatch.noteRenewed(id, state, began)
	if !state.Remote {
		return RemoteOrders{Command: CommandRun, Lost: held}, nil
	}
	orders := RemoteOrders{Command: state.Command, ExpiresAt: state.ExpiresAt}
	if len(held) == 0 && !state.Aged {
		return orders, nil
	}
	var batch pgx.Batch
	holds := queueHeld(&batch, held)
	strays := queueSweep(&batch, id, held, true)
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return RemoteOrders{}, fmt.Errorf("heartbeat: %w", err)
	}
	for i, lease := range held {
		switch {
		case lease.Worker != id || !holds[i]:
			orders.Lost = append(orders.Lost, lease)
		case state.cancels(lease):
			orders.Cancelled = append(orders.Cancelled, lease)
		}
	}
	return orders, c.releaseStrays(ctx, *strays)
}

// Leave takes out a remote worker and hands back what it holds. An unknown one is no error, one that is not remote an *InvalidError.
func (c *Client) Leave(ctx context.Context, id WorkerID) error {
	state, err := c.renewals.do(ctx, renewal{id: id})
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if !state.ID.IsZero() && !state.Remote {
		return notRemote("id")
	}
	c.dispatch.dismiss(id)
	strays, err := c.sweep(ctx, id, nil, true, 0)
	if err == nil {
		err = c.releaseFor(ctx, strays, "handed back: the worker left")
	}
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	defer c.dispatch.doubt(id.String()) // should it have polled again meanwhile
	return c.Deregister(ctx, id)
}

// renewal is a remote worker that is alive.
type renewal struct {
	id      WorkerID
	running *int   // nil: as it was
	memory  *int64 // nil: as it was
}

// remoteState is a remote worker's row.
type remoteState struct {
	ID        WorkerID // zero: it is unknown, or was declared dead
	Command   Command
	Remote    bool // else it renews itself
	TTLMS     int64
	ExpiresAt time.Time
	Cancelled []TaskID
	Attempts  []int // of those
	Aged      bool  // it has lease rows to be swept
}

func (s remoteState) ttl() time.Duration { return time.Duration(s.TTLMS) * time.Millisecond }

func (s remoteState) cancels(lease Lease) bool {
	i := slices.Index(s.Cancelled, lease.Task)
	return i >= 0 && s.Attempts[i] == lease.Attempt
}

// renewMany renews remote workers with one statement.
func (c *Client) renewMany(ctx context.Context, in []renewal) ([]answer[remoteState], error) {
	order := make([]int, len(in))
	for i := range in {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return bytes.Compare(in[a].id[:], in[b].id[:]) }) // a repeated one counts last
	ids, running, memory := make([]WorkerID, len(in)), make([]*int, len(in)), make([]*int64, len(in))
	for place, i := range order {
		ids[place], running[place], memory[place] = in[i].id, in[i].running, in[i].memory
	}
	rows, err := c.vital.Query(bePatient(ctx), sql.Renew, ids, running, memory)
	if err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[remoteState])
	if err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	found := make(map[WorkerID]remoteState, len(list))
	for _, state := range list {
		found[state.ID] = state
	}
	answers := make([]answer[remoteState], len(in))
	for i := range in {
		answers[i].out = found[in[i].id]
	}
	return answers, nil
}

// notRemote says that what a field names is a worker that renews itself, and answers to nobody who only knows its id.
func notRemote(field string) error {
	return &InvalidError{Fields: []FieldError{{field, "of a worker that does not work over HTTP"}}}
}

// enroll enters a remote worker, or renews it. running: tasks; nil: it does not say.
func (c *Client) enroll(ctx context.Context, w WorkerInfo, running *int) (remoteState, error) {
	args := registerArgs(w)
	args["running"] = running
	rows, err := c.vital.Query(ctx, sql.Enroll, args)
	if err != nil {
		return remoteState{}, fmt.Errorf("register: %w", err)
	}
	state, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[remoteState])
	if errors.Is(err, pgx.ErrNoRows) {
		return state, notRemote("worker.id")
	}
	if err != nil {
		return state, fmt.Errorf("register: %w", err)
	}
	return state, nil
}

// queueHeld queues the question which leases still hold; the answers are there once the batch is done.
func queueHeld(batch *pgx.Batch, leases []Lease) []bool {
	holds := make([]bool, len(leases))
	batch.Queue(sql.Held, leaseArgs(leases)...).Query(func(rows pgx.Rows) error {
		var place int32
		_, err := pgx.ForEachRow(rows, []any{&place}, func() error { holds[place-1] = true; return nil })
		return err
	})
	return holds
}

// leaseArgs returns queues, ids, attempts and workers.
func leaseArgs(leases []Lease) []any {
	n := len(leases)
	queues, ids, attempts, workers := make([]Queue, n), make([]TaskID, n), make([]int32, n), make([]WorkerID, n)
	for i, l := range leases {
		queues[i], ids[i], attempts[i], workers[i] = l.Queue, l.Task, int32(l.Attempt), l.Worker
	}
	return []any{queues, ids, attempts, workers}
}

// sweep drops lease rows of a worker that name nothing any more and returns its strays. tells: held are all its leases, else it
// has no strays.
func (c *Client) sweep(ctx context.Context, id WorkerID, held []Lease, tells bool, older time.Duration) ([]Lease, error) {
	var batch pgx.Batch
	strays := queueSweepOlder(&batch, id, held, tells, older)
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	return *strays, nil
}

func queueSweep(batch *pgx.Batch, id WorkerID, held []Lease, tells bool) *[]Lease {
	return queueSweepOlder(batch, id, held, tells, strayAfter)
}

func queueSweepOlder(batch *pgx.Batch, id WorkerID, held []Lease, tells bool, older time.Duration) *[]Lease {
	var ids []TaskID // nil: it does not tell
	var attempts []int32
	if tells {
		ids, attempts = make([]TaskID, 0, len(held)), make([]int32, 0, len(held))
		sorted := slices.SortedFunc(slices.Values(held), compareLeases)
		for _, lease := range sorted {
			ids, attempts = append(ids, lease.Task), append(attempts, int32(lease.Attempt))
		}
	}
	var strays []Lease
	batch.Queue(sql.Sweep, id, ids, attempts, older.Milliseconds()).Query(func(rows pgx.Rows) error {
		lease := Lease{Worker: id}
		_, err := pgx.ForEachRow(rows, []any{&lease.Queue, &lease.Task, &lease.Attempt}, func() error {
			strays = append(strays, lease)
			return nil
		})
		return err
	})
	return &strays
}

func (c *Client) releaseStrays(ctx context.Context, strays []Lease) error {
	return c.releaseFor(ctx, strays, "handed back: the answer to the lease was lost")
}

// handIn releases tasks that nobody is there to take; when that fails as well, they are strays of their worker.
func (c *Client) handIn(ctx context.Context, tasks []LeasedTask) {
	if len(tasks) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cmp.Or(c.config.bear, handInLimit))
	defer cancel()
	leases := make([]Lease, len(tasks))
	for i, task := range tasks {
		leases[i] = task.Lease
	}
	_ = c.releaseFor(ctx, leases, "handed back: the worker was gone when the lease came")
}

// HandBack releases tasks that Poll has returned and the worker did not get.
func (c *Client) HandBack(ctx context.Context, tasks []LeasedTask) { c.handIn(ctx, tasks) }

// leaseRemote leases for remote workers, and has somebody look after their timeouts.
func (c *Client) leaseRemote(ctx context.Context, wishes []wish) ([][]LeasedTask, error) {
	got, err := c.leaseEach(ctx, wishes)
	if err != nil {
		return nil, err
	}
	var batch pgx.Batch
	for i, tasks := range got {
		soonest := time.Duration(0)
		for _, task := range tasks {
			if task.Timeout > 0 && (soonest == 0 || task.Timeout < soonest) {
				soonest = task.Timeout
			}
		}
		if soonest > 0 {
			batch.Queue(sql.LeaseTimeout, wishes[i].worker, tasks[0].Group, (soonest + timeoutGrace).Milliseconds())
		}
	}
	if batch.Len() == 0 {
		return got, nil
	}
	call, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	if err := c.hot.SendBatch(call, &batch).Close(); err != nil {
		c.handIn(ctx, slices.Concat(got...))
		return nil, err
	}
	return got, nil
}

// readyQueues returns the queues with ready tasks.
func (c *Client) readyQueues(ctx context.Context) ([]Queue, error) {
	rows, err := c.hot.Query(ctx, sql.Ready)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[Queue])
}
