package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// submitTx inserts rows, one statement a queue, and finds the tasks that hold the keys of those left out.
func submitTx(ctx context.Context, tx pgx.Tx, rows []submission) ([]Submitted, error) {
	list := make([]Submitted, len(rows))
	// A row in the way can vanish between the insert and the look at it; then the insert is tried again.
	for range 100 {
		missing, err := insert(ctx, tx, rows, list)
		if err != nil {
			return nil, err
		}
		if rows, err = resolve(ctx, tx, missing, list); err != nil || len(rows) == 0 {
			return list, err
		}
	}
	return nil, errors.New("the keys are too contended")
}

type inserted struct {
	ID        TaskID
	State     State
	RunAt     time.Time
	CreatedAt time.Time
}

// insert stores the rows that meet no key, fills list and returns the others.
func insert(ctx context.Context, tx pgx.Tx, rows []submission, list []Submitted) (missing []submission, err error) {
	var order []Queue
	queues := map[Queue][]submission{}
	for _, row := range rows {
		if queues[row.queue] == nil {
			order = append(order, row.queue)
		}
		queues[row.queue] = append(queues[row.queue], row)
	}
	var batch pgx.Batch
	done := make(map[TaskID]inserted, len(rows))
	for _, queue := range order {
		batch.Queue(sql.Submit, columns(queue, queues[queue])...).Query(func(r pgx.Rows) error {
			found, err := pgx.CollectRows(r, pgx.RowToStructByName[inserted])
			for _, row := range found {
				done[row.ID] = row
			}
			return err
		})
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, err
	}
	for _, row := range rows {
		if got, ok := done[row.id]; ok {
			list[row.at] = Submitted{ID: got.ID, Queue: row.queue, State: got.State, RunAt: got.RunAt, CreatedAt: got.CreatedAt}
		} else {
			missing = append(missing, row)
		}
	}
	return missing, nil
}

// columns turns rows of one queue into the arguments of the submit statement.
func columns(queue Queue, rows []submission) []any {
	n := len(rows)
	ids, kinds, payloads, priorities := make([]TaskID, n), make([]string, n), make([]string, n), make([]int16, n)
	runAt, delays, attempts := make([]*time.Time, n), make([]*int64, n), make([]int16, n)
	timeouts, expires := make([]*int64, n), make([]*time.Time, n)
	unique, keys, backoffs := make([]*string, n), make([]*string, n), make([]*string, n)
	for i, r := range rows {
		ids[i], kinds[i], payloads[i], priorities[i] = r.id, r.kind, r.payload, r.priority
		runAt[i], delays[i], attempts[i] = r.runAt, r.delayMS, r.maxAttempts
		timeouts[i], expires[i] = r.timeoutMS, r.expiresAt
		unique[i], keys[i], backoffs[i] = r.uniqueKey, r.idempotencyKey, r.backoffMS
	}
	return []any{queue, ids, kinds, payloads, priorities, runAt, delays, attempts, timeouts, expires, unique, keys, backoffs}
}

// resolve finds the tasks that hold the rows' keys, fills list, and returns the rows whose holder is gone by now.
func resolve(ctx context.Context, tx pgx.Tx, rows []submission, list []Submitted) (again []submission, err error) {
	for _, row := range rows {
		found, err := holder(ctx, tx, row)
		if errors.Is(err, pgx.ErrNoRows) {
			again = append(again, row)
			continue
		}
		if err != nil {
			return nil, err
		}
		if found.ByKey && !found.Same {
			return nil, &KeyReusedError{Key: *row.idempotencyKey, Task: found.ID, At: row.at}
		}
		list[row.at] = Submitted{ID: found.ID, Queue: row.queue, State: found.State, RunAt: found.RunAt, CreatedAt: found.CreatedAt,
			Replayed: found.ByKey, Existing: !found.ByKey}
	}
	return again, nil
}

type conflict struct {
	inserted
	ByKey bool
	Same  bool
}

func holder(ctx context.Context, tx pgx.Tx, r submission) (conflict, error) {
	rows, err := tx.Query(ctx, sql.SubmitConflict, pgx.StrictNamedArgs{"queue": r.queue, "idempotency_key": r.idempotencyKey,
		"unique_key": r.uniqueKey, "kind": r.kind, "payload": r.payload, "priority": r.priority, "run_at": r.runAt, "delay_ms": r.delayMS,
		"max_attempts": r.maxAttempts, "timeout_ms": r.timeoutMS, "expires_at": r.expiresAt, "backoff_ms": r.backoffMS})
	if err != nil {
		return conflict{}, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[conflict])
}
