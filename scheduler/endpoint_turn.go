package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Deliveries is what a worker tells of an endpoint, and what it wants.
type Deliveries struct {
	Endpoint   string
	Worker     WorkerID
	Busy       int    // deliveries that it has
	More       int    // that it would begin
	Unused     int    // of those that it was allowed to begin, and did not
	Generation int64  // of the breaker, in which what follows was begun
	Succeeded  bool   // one did
	Failures   int    // since then
	LastError  string // ""; none failed
	Undecided  bool   // one ended and says nothing about the endpoint
}

// Turn is what a worker may do at an endpoint.
type Turn struct {
	Granted    int     `db:"granted"` // deliveries that it may begin
	Generation int64   `db:"generation"`
	State      Breaker `db:"state"`
	RetryMS    int64   `db:"retry_ms"` // until it is worth asking again, when none was granted; 0: once something changes
}

// Retry is RetryMS as a duration.
func (t Turn) Retry() time.Duration { return time.Duration(t.RetryMS) * time.Millisecond }

// TakeTurn tells what came of deliveries and asks for more. Workers take turns, under the lock of the endpoint's row, so that
// concurrency and rate hold over all of them, and one alone sends the probe. ErrNotFound: there is no such endpoint any more.
func (c *Client) TakeTurn(ctx context.Context, d Deliveries) (turn Turn, err error) {
	var last *string
	if d.LastError != "" {
		text := CleanText(d.LastError, 1000)
		last = &text
	}
	var batch pgx.Batch // one transaction, and two snapshots: the second is taken when the lock is held
	batch.Queue(sql.EndpointLock, pgx.StrictNamedArgs{"name": d.Endpoint})
	found := false
	batch.Queue(sql.EndpointTurn, pgx.StrictNamedArgs{"name": d.Endpoint, "worker": d.Worker, "busy": d.Busy, "more": d.More, "unused": d.Unused,
		"generation": d.Generation, "succeeded": d.Succeeded, "failures": d.Failures, "last_error": last, "undecided": d.Undecided}).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Turn])
		if len(list) == 1 {
			turn, found = list[0], true
		}
		return err
	})
	if err := c.pool.SendBatch(bePatient(ctx), &batch).Close(); err != nil {
		return Turn{}, fmt.Errorf("endpoint %s: %w", d.Endpoint, err)
	}
	if !found {
		return Turn{}, ErrNotFound
	}
	return turn, nil
}

// EndpointSecret is what deliveries to an endpoint are signed with.
type EndpointSecret struct {
	Secrets   []string
	UpdatedAt time.Time // the endpoint's at that time: when it is another one by now, the secrets may be others
}

// EndpointSecrets returns what deliveries to each endpoint are signed with, by its name, and sets the clock of Now. Not to be shown
// or logged.
func (c *Client) EndpointSecrets(ctx context.Context) (map[string]EndpointSecret, error) {
	type row struct {
		Name      string
		Secrets   []string
		UpdatedAt time.Time
		Clock     time.Time
	}
	began := time.Now()
	list, err := all[row](ctx, c.reads, "read secrets", sql.EndpointSecrets, nil)
	if len(list) > 0 {
		c.ahead.note(list[0].Clock, began, time.Now())
	}
	secrets := map[string]EndpointSecret{}
	for _, r := range list {
		secrets[r.Name] = EndpointSecret{r.Secrets, r.UpdatedAt}
	}
	return secrets, err
}
