package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Accept has an attempt go on without its worker, since an endpoint answered that it will end it: whoever has the lease's token does, up to
// within, 1 ms and up, from now and for as long as the task's timeout allows, however the worker fares. Afterwards any process ends it as
// failed. The worker must do nothing more under the lease. It returns ErrLeaseLost when the attempt does not run any more, as when the
// endpoint has ended it already. To say it again is no error.
func (c *Client) Accept(ctx context.Context, lease Lease, endpoint string, within time.Duration) error {
	type row struct{ ID int64 }
	list, err := all[row](ctx, c.hot, "accept", sql.Accept, pgx.StrictNamedArgs{"worker": lease.Worker, "queue": lease.Queue, "id": lease.Task,
		"attempt": lease.Attempt, "endpoint": endpoint, "within_ms": within.Milliseconds()})
	if err == nil && len(list) == 0 {
		return ErrLeaseLost
	}
	return err
}

// acceptance is what whoever ends an attempt for an endpoint is told by a heartbeat.
type acceptance struct {
	expiresAt time.Time
	cancelled bool
}

// acceptances returns which of the leases are of attempts that an endpoint accepted, and that run.
func (c *Client) acceptances(ctx context.Context, leases []Lease) (map[Lease]acceptance, error) {
	if len(leases) == 0 {
		return nil, nil
	}
	found := map[Lease]acceptance{}
	rows, err := c.hot.Query(ctx, sql.Accepted, leaseArgs(leases)...)
	if err == nil {
		var place int32
		var its acceptance
		_, err = pgx.ForEachRow(rows, []any{&place, &its.expiresAt, &its.cancelled}, func() error {
			found[leases[place-1]] = its
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	return found, nil
}
