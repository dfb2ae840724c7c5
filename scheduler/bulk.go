package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// BulkID names a bulk; the zero value names none.
type BulkID uuid.UUID

// ParseBulkID reads the usual spelling with dashes, in either case. It returns an *InvalidError otherwise.
func ParseBulkID(s string) (BulkID, error) {
	id, err := parseUUID(s)
	return BulkID(id), err
}

func (id BulkID) String() string { return uuid.UUID(id).String() }

// MarshalText writes the spelling with dashes.
func (id BulkID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText reads what ParseBulkID reads.
func (id *BulkID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseBulkID(string(text))
	return err
}

// Bulk is one thing done to all tasks that a filter matches, as far as it is.
type Bulk struct {
	ID         BulkID          `db:"id"`
	Verb       string          `db:"verb"`   // retry, cancel, delete
	Filter     json.RawMessage `db:"filter"` // an object as in the HTTP API: state, queue, kind, tag, q, created_after, created_before, error_group
	Reason     *string         `db:"reason"` // of a cancel
	State      string          `db:"state"`  // running, done, cancelled
	Total      *int64          `db:"total"`  // tasks that matched at the beginning; nil: too many to count, or too slow to find
	Done       int64           `db:"done"`
	Skipped    int64           `db:"skipped"` // matched, and were locked by somebody, changed meanwhile, could not be or were refused by the database
	Cursor     *TaskID         `db:"cursor"`  // how far down it is; nil: at the newest
	Actor      string          `db:"actor"`
	CreatedAt  time.Time       `db:"created_at"`
	UpdatedAt  time.Time       `db:"updated_at"`
	FinishedAt *time.Time      `db:"finished_at"`
}

// bulkStates are those of the tasks that a verb can do something to.
var bulkStates = map[string][]State{
	"retry":  {Failed, Cancelled},
	"cancel": {Blocked, Scheduled, Ready, Running},
	"delete": {Completed, Failed, Cancelled},
}

// BeginBulk begins to retry, cancel or delete all tasks that the filter matches, from the newest down, and returns at once: any
// process that runs Maintain goes on with it, and so does DoBulk. Tasks that are made later are not touched. Limit and Before
// of the filter must be zero. reason is as in Cancel. It returns *InvalidError for another verb, a bad filter, or a state
// in which the verb does nothing.
func (c *Client) BeginBulk(ctx context.Context, verb string, f Filter, reason string) (Bulk, error) {
	if bulkStates[verb] == nil {
		return Bulk{}, invalid("verb", "retry, cancel or delete")
	}
	if f.Limit != 0 || !f.Before.IsZero() {
		return Bulk{}, invalid("filter", "no limit and no cursor")
	}
	f = f.settled()
	if err := f.check(); err != nil {
		return Bulk{}, err
	}
	if f.State != "" && !slices.Contains(bulkStates[verb], f.State) {
		return Bulk{}, invalid("state", fmt.Sprintf("to %s, one of %v", verb, bulkStates[verb]))
	}
	if f.CreatedBefore.IsZero() { // what is made from now on is not meant
		now, err := c.now(ctx)
		if err != nil {
			return Bulk{}, err
		}
		f.CreatedBefore = now.Add(bulkSkew)
	}
	raw, err := json.Marshal(f.wire())
	if err != nil {
		return Bulk{}, err
	}
	ids, _, last, err := c.findBulk(ctx, c.reads, verb, f, ScanMost, ScanMost)
	if err != nil && !blocked(err) {
		return Bulk{}, fmt.Errorf("begin bulk: %w", err)
	}
	var total *int64
	if err == nil && last {
		n := int64(len(ids))
		total = &n
	}
	b, err := one[Bulk](ctx, c.pool, "begin bulk", sql.BulkBegin, by(ctx, pgx.StrictNamedArgs{"id": BulkID(NewTaskID()), "verb": verb, "filter": string(raw),
		"reason": null(CleanText(reason, 1000)), "total": total}))
	if err == nil {
		c.dueIn(0)
		c.hints.hintDue(0)
	}
	return b, err
}

// bulkSkew is how far the clock of a process that makes ids may be ahead of the database's.
const bulkSkew = time.Second

// Bulk returns a bulk, or ErrNotFound.
func (c *Client) Bulk(ctx context.Context, id BulkID) (Bulk, error) {
	return one[Bulk](ctx, c.reads, "read bulk", sql.Bulk, pgx.StrictNamedArgs{"id": id})
}

// Bulks returns the newest bulks, up to limit, 1 to 500.
func (c *Client) Bulks(ctx context.Context, limit int) ([]Bulk, error) {
	if limit < 1 || limit > 500 {
		return nil, invalid("limit", "1 to 500")
	}
	return all[Bulk](ctx, c.reads, "list bulks", sql.Bulks, pgx.StrictNamedArgs{"limit": limit})
}

// CancelBulk ends a bulk after the chunk that is under way; what it did stays done. It returns ErrNotFound for one that is over
// or unknown.
func (c *Client) CancelBulk(ctx context.Context, id BulkID) error {
	type row struct{ ID BulkID }
	_, err := one[row](ctx, c.pool, "cancel bulk", sql.BulkCancel, by(ctx, pgx.StrictNamedArgs{"id": id}))
	return err
}

// DoBulk does the chunks of a bulk until none is left, or another process has it. Maintain does so by itself; this is for a
// program that can't count on one.
func (c *Client) DoBulk(ctx context.Context, id BulkID) error {
	for {
		if more, err := c.chunk(ctx, &id); err != nil || !more {
			return err
		}
	}
}

// askBulk goes on with a bulk, a chunk at a time.
func (c *Client) askBulk(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	var waits bool
	batch.Queue(sql.BulkNext).QueryRow(func(row pgx.Row) error { return row.Scan(&waits) })
	return func(ctx context.Context) (time.Duration, error) {
		if !waits {
			return c.quiet(), nil
		}
		for {
			more, err := c.chunk(ctx, nil)
			switch {
			case ctx.Err() != nil:
				return 0, ctx.Err()
			case err != nil || !more: // another process may have it, and may die
				return min(time.Second, c.quiet()), err
			}
		}
	}
}
