package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/sql"
)

const (
	bulkChunk = 1000                 // tasks of one transaction
	bulkScan  = ScanMost / bulkChunk // tasks looked at for each of them
	bulkQuick = time.Second          // a chunk that took no longer may be followed by a larger one
)

// bulkDo are the statements that do a chunk.
var bulkDo = map[string]string{"retry": sql.BulkDoRetry, "cancel": sql.BulkDoCancel, "delete": sql.BulkDoDelete}

// bulkFind are the statements that find the ids of what a list shows.
var bulkFind = map[string]string{sql.Tasks: sql.BulkFind, sql.TasksDead: sql.BulkFindDead, sql.TasksReady: sql.BulkFindReady,
	sql.TasksWaiting: sql.BulkFindWaiting, sql.TasksRunning: sql.BulkFindRunning, sql.TasksTagged: sql.BulkFindTagged}

// chunk does one chunk of a bulk, id: of that one, in a transaction of its own. more: there may be another. A chunk that the
// database does not take, since it takes too long or for what one of its tasks holds, is tried again with fewer tasks, down
// to one, which is skipped.
func (c *Client) chunk(ctx context.Context, id *BulkID) (more bool, err error) {
	var b Bulk
	var size int
	var last bool
	began := time.Now()
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		b, err = within[Bulk](ctx, tx, sql.BulkTake, pgx.StrictNamedArgs{"id": id})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		more, size = true, c.bulkSizes.of(b.ID)
		last, err = c.doChunk(ctx, tx, b, size)
		return err
	})
	switch {
	case err == nil && last:
		c.bulkSizes.set(b.ID, bulkChunk)
		return true, nil
	case err == nil && more && time.Since(began) < bulkQuick:
		c.bulkSizes.set(b.ID, 2*size)
		return true, nil
	case err == nil:
		return more, nil
	case !more || !smaller(err) || ctx.Err() != nil:
		return false, fmt.Errorf("bulk: %w", err)
	case size > 1:
		c.bulkSizes.set(b.ID, max(1, size/10))
		return true, nil
	}
	return false, fmt.Errorf("bulk %s: %w", b.ID, errors.Join(err, c.putBack(ctx, b.ID)))
}

// putBack lets other bulks have their turn before this one, of which not even a few tasks can be looked at.
func (c *Client) putBack(ctx context.Context, id BulkID) error {
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		b, err := within[Bulk](ctx, tx, sql.BulkTake, pgx.StrictNamedArgs{"id": id})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err == nil {
			_, err = tx.Exec(ctx, sql.BulkMove, moveArgs(b, b.Cursor, false, 0, 0))
		}
		return err
	})
}

// smaller reports whether what was refused may be taken in smaller parts.
func smaller(err error) bool {
	var pg *pgconn.PgError
	return blocked(err) || Refused(err) || errors.As(err, &pg) && (pg.Code == "53200" || strings.HasPrefix(pg.Code, "P0")) // memory; a trigger
}

// doChunk does a chunk of up to size tasks of a bulk that tx holds; last: there are no others. A chunk of one is skipped when it
// is refused.
func (c *Client) doChunk(ctx context.Context, tx pgx.Tx, b Bulk, size int) (last bool, err error) {
	var w wireFilter
	if err := json.Unmarshal(b.Filter, &w); err != nil {
		return false, err
	}
	f := w.filter()
	if b.Cursor != nil {
		f.Before = *b.Cursor
	}
	found, cursor, last, err := c.findBulk(ctx, tx, b.Verb, f, size, size*bulkScan)
	if err != nil {
		return false, err
	}
	args := pgx.StrictNamedArgs{"ids": ascending(found), "bulk": b.ID, "actor": b.Actor}
	if b.Verb == "cancel" {
		args["reason"] = b.Reason
	}
	var done []TaskID
	err = pgx.BeginFunc(ctx, tx, func(part pgx.Tx) error {
		rows, err := part.Query(ctx, bulkDo[b.Verb], args)
		if err != nil {
			return err
		}
		done, err = pgx.CollectRows(rows, pgx.RowTo[TaskID])
		return err
	})
	switch {
	case err == nil:
	case len(found) != 1 || !smaller(err) || ctx.Err() != nil:
		return false, err
	default:
		done = nil
		c.config.Logger.LogAttrs(ctx, slog.LevelWarn, "bulk: skip", slog.String("task_id", found[0].String()), slog.Any("err", err))
	}
	_, err = tx.Exec(ctx, sql.BulkMove, moveArgs(b, &cursor, last, len(done), len(found)-len(done)))
	return last, err
}

func moveArgs(b Bulk, cursor *TaskID, last bool, done, skipped int) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{"id": b.ID, "cursor": cursor, "last": last, "done": done, "skipped": skipped}
}

// bulkSizes are the sizes of the chunks of bulks that had to go on with smaller ones, as far as this process knows. Safe for
// concurrent use.
type bulkSizes struct {
	mu    sync.Mutex
	sizes map[BulkID]int
}

func (s *bulkSizes) of(id BulkID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size, ok := s.sizes[id]; ok {
		return size
	}
	return bulkChunk
}

func (s *bulkSizes) set(id BulkID, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size >= bulkChunk {
		delete(s.sizes, id)
		return
	}
	if s.sizes == nil {
		s.sizes = map[BulkID]int{}
	}
	s.sizes[id] = size
}

// findBulk returns ids of up to limit tasks that a verb may do something to, newest first, and what to look below next; last:
// there are no others. It looks at up to scan tasks.
func (c *Client) findBulk(ctx context.Context, db querier, verb string, f Filter, limit, scan int) (ids []TaskID, cursor TaskID, last bool, err error) {
	args := f.args()
	delete(args, "state")
	states := bulkStates[verb]
	if f.State != "" {
		states = []State{f.State}
	}
	args["states"], args["limit"] = states, limit+1
	statement, floor, err := c.where(ctx, f, args, scan)
	if err != nil {
		return nil, cursor, false, err
	}
	rows, err := db.Query(ctx, bulkFind[statement], args)
	if err != nil {
		return nil, cursor, false, err
	}
	ids, err = pgx.CollectRows(rows, pgx.RowTo[TaskID])
	switch {
	case err != nil:
		return nil, cursor, false, err
	case len(ids) > limit:
		return ids[:limit], ids[limit-1], false, nil
	}
	return ids, floor, floor.IsZero(), nil
}

// within returns the one row of a statement in a transaction, or pgx.ErrNoRows.
func within[T any](ctx context.Context, tx pgx.Tx, statement string, args pgx.StrictNamedArgs) (T, error) {
	rows, err := tx.Query(ctx, statement, args)
	if err != nil {
		var zero T
		return zero, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
}

func ascending(ids []TaskID) []TaskID {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, TaskID.compare)
	return sorted
}
