package scheduler

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

type actor struct{}

// maxActor is the longest name of an actor in bytes.
const maxActor = 200

// WithActor returns a context in which what is done is done by the actor: a name of a person, token or program, shown to
// people, as ann@shop-7. Every action that changes a task, queue, schedule or worker leaves a row of scheduler.audit with it.
// Without one, or with "", the row has the role that the database knows the program by.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actor{}, CleanText(name, maxActor))
}

// Actor returns what WithActor said; "": nothing.
func Actor(ctx context.Context) string {
	name, _ := ctx.Value(actor{}).(string)
	return name
}

// by adds the actor to the arguments of a statement that leaves an audit row.
func by(ctx context.Context, args pgx.StrictNamedArgs) pgx.StrictNamedArgs {
	args["actor"] = null(Actor(ctx))
	return args
}

// Audit is one action that somebody did.
type Audit struct {
	ID     int64           `db:"id"` // grows
	At     time.Time       `db:"at"`
	Actor  string          `db:"actor"`
	Verb   string          `db:"verb"`    // submit, cancel, retry, run, edit, delete, pause_queue, …
	TaskID *TaskID         `db:"task_id"` // nil: it was not about one task
	Target string          `db:"target"`  // the task's kind, or the name of a queue, schedule or worker
	Detail json.RawMessage `db:"detail"`  // an object
}

// SubmitByHand is Submit for a task that a person makes: it leaves an audit row.
func (c *Client) SubmitByHand(ctx context.Context, task NewTask) (s Submitted, err error) {
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) (err error) {
		if s, err = c.SubmitTx(ctx, tx, task); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, sql.AuditAdd, by(ctx, pgx.StrictNamedArgs{"verb": "submit", "task": s.ID, "target": task.Kind}))
		return err
	})
	return s, err
}

// AuditFilter chooses actions. Zero fields choose all.
type AuditFilter struct {
	Task   TaskID
	Before int64 // only those with a lower id: the last one of the page before
	Limit  int   // 1 to 500; 0: 50
}

// Audit returns what was done, newest first; more is true when there are further ones, which start Before the last returned. A
// task that was deleted still has its actions. It returns *InvalidError for a bad filter.
func (c *Client) Audit(ctx context.Context, f AuditFilter) (list []Audit, more bool, err error) {
	if f.Limit == 0 {
		f.Limit = 50
	}
	if f.Limit < 1 || f.Limit > 500 {
		return nil, false, invalid("limit", "1 to 500")
	}
	if f.Before == 0 {
		f.Before = math.MaxInt64
	}
	statement, args := sql.Audit, pgx.StrictNamedArgs{"before": f.Before, "limit": f.Limit + 1}
	if !f.Task.IsZero() {
		statement, args["task"] = sql.AuditTask, f.Task
	}
	list, err = all[Audit](ctx, c.reads, "list audit", statement, args)
	if err == nil && len(list) > f.Limit {
		return list[:f.Limit], true, nil
	}
	return list, false, err
}
