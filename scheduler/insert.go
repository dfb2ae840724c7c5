package scheduler

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// attempts of an insert whose row in the way vanishes before it can be looked at
const maxContention = 100

// insertMost is how many rows one statement inserts.
const insertMost = 1000

var errContended = errors.New("the keys are too contended")

// database is a pool or a transaction.
type database interface {
	querier
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// submitAll stores all rows in a transaction of their own, or finds the tasks that hold their keys, and fills list. When a
// holder vanished it begins a new transaction: going on in the old one would wait for a key out of order.
func (c *Client) submitAll(ctx context.Context, rows []submission, list []Submitted) (err error) {
	for range maxContention {
		clear(list)
		err = pgx.BeginFunc(ctx, c.hot, func(tx pgx.Tx) error {
			vanished, err := submitOnce(ctx, tx, rows, list)
			if len(vanished) > 0 {
				return errContended
			}
			return err
		})
		if !errors.Is(err, errContended) {
			return err
		}
	}
	return err
}

// submitWithin is submitAll in the caller's transaction, which can't begin anew.
func submitWithin(ctx context.Context, tx pgx.Tx, rows []submission, list []Submitted) (err error) {
	for range maxContention {
		if rows, err = submitOnce(ctx, tx, rows, list); err != nil || len(rows) == 0 {
			return err
		}
	}
	return errContended
}

// submitOnce stores rows within tx, or finds the tasks that hold their keys, and fills list. It returns those whose holder
// vanished before it could be looked at. The first key that was used for another request ends it.
func submitOnce(ctx context.Context, tx pgx.Tx, rows []submission, list []Submitted) (vanished []submission, err error) {
	missing, err := insert(ctx, tx, rows, list)
	if err != nil {
		return nil, err
	}
	for _, row := range missing {
		switch found, err := holder(ctx, tx, row); {
		case errors.Is(err, pgx.ErrNoRows):
			vanished = append(vanished, row)
		case err != nil:
			return nil, err
		default:
			list[row.at] = found
		}
	}
	return vanished, nil
}

// inCompany marks the context of an insert that must not wait for one key for long.
type inCompany struct{}

// submitEach stores rows of callers that have nothing to do with each other: each is answered alone.
func (c *Client) submitEach(ctx context.Context, in []submission) ([]answer[Submitted], error) {
	list, answers := make([]Submitted, len(in)), make([]answer[Submitted], len(in))
	rows := slices.Clone(in)
	for i := range rows {
		rows[i].at = i
	}
	if len(in) > 1 && slices.ContainsFunc(in, func(r submission) bool { return r.keyed() }) {
		ctx = context.WithValue(ctx, inCompany{}, true)
	}
	for try := range maxContention {
		missing, err := insert(ctx, c.hot, rows, list)
		switch {
		case err != nil && try == 0:
			return nil, err
		case err != nil: // the others are stored
			for _, row := range rows {
				answers[row.at].err = err
			}
		}
		rows = nil
		for _, row := range missing {
			found, err := holder(ctx, c.hot, row)
			if errors.Is(err, pgx.ErrNoRows) {
				rows = append(rows, row)
				continue
			}
			var reused *KeyReusedError
			if errors.As(err, &reused) {
				reused.At = 0 // its caller has one task
			}
			list[row.at], answers[row.at].err = found, err
		}
		if len(rows) == 0 {
			break
		}
	}
	for _, row := range rows {
		answers[row.at].err = errContended
	}
	c.announce(list)
	for i := range answers {
		answers[i].out = list[i]
	}
	return answers, nil
}

type inserted struct {
	ID        TaskID
	State     State
	RunAt     time.Time
	CreatedAt time.Time
}

// insert stores the rows that meet no key, a statement for each queue, each shape and each insertMost in one round trip, fills
// list and returns the others. Keys are inserted in one order everywhere, so that two inserts wait for each other's keys and
// never in a circle.
func insert(ctx context.Context, db database, rows []submission, list []Submitted) (missing []submission, err error) {
	sorted := rows
	if !slices.IsSortedFunc(rows, compareSubmissions) {
		sorted = slices.Clone(rows)
		slices.SortStableFunc(sorted, compareSubmissions)
	}
	var batch pgx.Batch
	if ctx.Value(inCompany{}) != nil {
		batch.Queue(sql.Bear, strconv.FormatInt(keyLockTimeout.Milliseconds(), 10))
	}
	for len(sorted) > 0 {
		some := sorted[:sameShape(sorted)]
		sorted = sorted[len(some):]
		if some[0].plain() {
			insertPlain(&batch, some, list)
		} else {
			insertFull(&batch, some, list)
		}
	}
	if err := db.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, err
	}
	for _, row := range rows {
		if list[row.at].ID != row.id {
			missing = append(missing, row)
		}
	}
	return missing, nil
}

// compareSubmissions sorts by queue, plain ones first, then by keys.
func compareSubmissions(a, b submission) int {
	if a.queue != b.queue {
		return cmp.Compare(a.queue, b.queue)
	}
	return cmp.Or(cmp.Compare(btoi(!a.plain()), btoi(!b.plain())), compareKeys(a.idempotencyKey, b.idempotencyKey), compareKeys(a.uniqueKey, b.uniqueKey))
}

// sameShape returns how many of the rows, from the first on, go into one statement.
func sameShape(rows []submission) int {
	most := min(len(rows), insertMost)
	if n := slices.IndexFunc(rows[:most], func(r submission) bool { return r.queue != rows[0].queue || r.plain() != rows[0].plain() }); n > 0 {
		return n
	}
	return most
}

func insertPlain(batch *pgx.Batch, rows []submission, list []Submitted) {
	n := len(rows)
	ids, kinds, payloads, priorities := make([]TaskID, n), make([]string, n), make([]string, n), make([]int16, n)
	for i, r := range rows {
		ids[i], kinds[i], payloads[i], priorities[i] = r.id, r.kind, r.payload, r.priority
	}
	batch.Queue(sql.SubmitPlain, rows[0].queue, ids, kinds, payloads, priorities).QueryRow(func(answer pgx.Row) error {
		var created time.Time
		if err := answer.Scan(&created); err != nil {
			return err
		}
		for _, r := range rows {
			list[r.at] = Submitted{ID: r.id, Queue: r.queue, State: Ready, RunAt: created, CreatedAt: created}
		}
		return nil
	})
}

func insertFull(batch *pgx.Batch, rows []submission, list []Submitted) {
	queue := rows[0].queue
	by := make(map[TaskID]*submission, len(rows))
	for i := range rows {
		by[rows[i].id] = &rows[i]
	}
	batch.Queue(sql.Submit, columns(queue, rows)...).Query(func(r pgx.Rows) error {
		var row inserted
		_, err := pgx.ForEachRow(r, []any{&row.ID, &row.State, &row.RunAt, &row.CreatedAt}, func() error {
			from := by[row.ID]
			s := &list[from.at]
			*s = Submitted{ID: row.ID, Queue: queue, State: row.State, RunAt: row.RunAt, CreatedAt: row.CreatedAt}
			if from.trace != nil {
				s.TraceParent = *from.trace
			}
			return nil
		})
		return err
	})
}

func compareKeys(a, b *string) int {
	switch {
	case a == nil || b == nil:
		return cmp.Compare(btoi(a != nil), btoi(b != nil))
	default:
		return cmp.Compare(*a, *b)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// columns turns rows of one queue into the arguments of the submit statement.
func columns(queue Queue, rows []submission) []any {
	n := len(rows)
	ids, kinds, payloads, priorities := make([]TaskID, n), make([]string, n), make([]string, n), make([]int16, n)
	runAt, delays, attempts := make([]*time.Time, n), make([]*int64, n), make([]int16, n)
	timeouts, expires := make([]*int64, n), make([]*time.Time, n)
	unique, keys, backoffs := make([]*string, n), make([]*string, n), make([]*string, n)
	tags, traces := make([]*string, n), make([]*string, n)
	for i, r := range rows {
		ids[i], kinds[i], payloads[i], priorities[i] = r.id, r.kind, r.payload, r.priority
		runAt[i], delays[i], attempts[i] = r.runAt, r.delayMS, r.maxAttempts
		timeouts[i], expires[i] = r.timeoutMS, r.expiresAt
		unique[i], keys[i], backoffs[i] = r.uniqueKey, r.idempotencyKey, r.backoffMS
		tags[i], traces[i] = r.tags, r.trace
	}
	return []any{queue, ids, kinds, payloads, priorities, runAt, delays, attempts, timeouts, expires, unique, keys, backoffs, tags, traces}
}

type conflict struct {
	inserted
	ByKey bool
	Same  bool
}

// holder finds the task that holds a key of the row. It returns pgx.ErrNoRows when that is gone by now.
func holder(ctx context.Context, db querier, r submission) (Submitted, error) {
	rows, err := db.Query(ctx, sql.SubmitConflict, pgx.StrictNamedArgs{"queue": r.queue, "idempotency_key": r.idempotencyKey,
		"unique_key": r.uniqueKey, "kind": r.kind, "payload": r.payload, "priority": r.priority, "run_at": r.runAt, "delay_ms": r.delayMS,
		"max_attempts": r.maxAttempts, "timeout_ms": r.timeoutMS, "expires_at": r.expiresAt, "backoff_ms": r.backoffMS, "tags": r.tags})
	if err != nil {
		return Submitted{}, err
	}
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[conflict])
	if err != nil {
		return Submitted{}, err
	}
	if found.ByKey && !found.Same {
		return Submitted{}, &KeyReusedError{Key: *r.idempotencyKey, Task: found.ID, At: r.at}
	}
	return Submitted{ID: found.ID, Queue: r.queue, State: found.State, RunAt: found.RunAt, CreatedAt: found.CreatedAt,
		Replayed: found.ByKey, Existing: !found.ByKey}, nil
}
