package scheduler

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// DeadGroup is the failed tasks whose errors read alike.
type DeadGroup struct {
	ErrorGroup string    `db:"error_group"` // for Filter.ErrorGroup
	ErrorCode  string    `db:"error_code"`
	Shape      string    `db:"shape"`  // the error without what differs from one to the next
	Tasks      int       `db:"tasks"`  // among those looked at
	Sample     TaskID    `db:"sample"` // the newest of them
	Error      *string   `db:"error"`  // of the newest
	Kinds      []string  `db:"kinds"`
	Queues     []Queue   `db:"queues"`
	FirstAt    time.Time `db:"first_at"` // when the first and the last of them failed
	LastAt     time.Time `db:"last_at"`
	LookedAt   int       `db:"looked_at"` // tasks in all groups, those that were cut off included; ScanMost: there may be more
}

// deadGroups is how many groups DeadGroups returns.
const deadGroups = 100

// DeadGroups groups the newest ScanMost failed tasks by how their errors read, the largest of up to 100 groups first. queue and
// kind: "" is any.
func (c *Client) DeadGroups(ctx context.Context, queue Queue, kind string) ([]DeadGroup, error) {
	if !storable(string(queue)) || !storable(kind) {
		return []DeadGroup{}, nil // nothing has such a name
	}
	return all[DeadGroup](ctx, c.reads, "group dead", sql.DeadGroups, pgx.StrictNamedArgs{"queue": null(string(queue)), "kind": null(kind),
		"scan": ScanMost, "limit": deadGroups})
}
