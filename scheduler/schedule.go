package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/sql"
)

// Schedule is a row of scheduler.schedules: a task made at each tick of a cron expression.
type Schedule struct {
	Name        string          `db:"name"`
	Expression  string          `db:"expression"`
	Zone        string          `db:"zone"`
	Kind        string          `db:"kind"`
	Payload     json.RawMessage `db:"payload"`
	Queue       Queue           `db:"queue"`
	Priority    int             `db:"priority"`
	MaxAttempts int             `db:"max_attempts"`
	TimeoutMS   *int64          `db:"timeout_ms"`
	BackoffMS   []int64         `db:"backoff_ms"`
	PausedAt    *time.Time      `db:"paused_at"`
	NextRunAt   *time.Time      `db:"next_run_at"`
	LastRunAt   *time.Time      `db:"last_run_at"`
	Error       *string         `db:"error"` // why it can't fire
	CreatedAt   time.Time       `db:"created_at"`
	UpdatedAt   time.Time       `db:"updated_at"`
}

// NewSchedule is what SetSchedule stores. Name, Expression and Kind are needed.
type NewSchedule struct {
	Name       string // 1 to 128 letters, digits and _ . : / -
	Expression string // see ParseCron
	Zone       string // IANA name; "": UTC
	Kind       string
	Payload    any
	Queue      Queue

	Priority    int
	MaxAttempts int
	Timeout     time.Duration
	Backoff     []time.Duration
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}$`)

// hiccup is the delay up to which every missed tick is still fired, one after the other. After a longer silence only the
// newest missed tick is.
const hiccup = time.Minute

// SetSchedule makes a schedule or replaces the one of that name. A pause stays, and so does the pending tick unless
// expression or zone changed. It returns *CronError for a bad expression or zone, *InvalidError for other fields.
func (c *Client) SetSchedule(ctx context.Context, s NewSchedule) (Schedule, error) {
	task := NewTask{Kind: s.Kind, Payload: s.Payload, Queue: s.Queue, Priority: s.Priority, MaxAttempts: s.MaxAttempts,
		Timeout: s.Timeout, Backoff: s.Backoff}
	row, bad := task.prepare()
	if !namePattern.MatchString(s.Name) {
		bad = append(bad, FieldError{"name", "1 to 128 letters, digits and _ . : / -, not starting with punctuation"})
	}
	if bad != nil {
		return Schedule{}, &InvalidError{Fields: bad}
	}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	cron, err := ParseCron(s.Expression, s.Zone)
	if err != nil {
		return Schedule{}, err
	}
	now, err := c.now(ctx)
	if err != nil {
		return Schedule{}, err
	}
	var backoff []int64
	for _, d := range s.Backoff {
		backoff = append(backoff, d.Milliseconds())
	}
	set, err := one[Schedule](ctx, c.pool, "set schedule", sql.ScheduleSet, by(ctx, pgx.StrictNamedArgs{"name": s.Name, "expression": s.Expression,
		"zone": s.Zone, "kind": row.kind, "payload": row.payload, "queue": row.queue, "priority": row.priority,
		"max_attempts": row.maxAttempts, "timeout_ms": row.timeoutMS, "backoff_ms": backoff, "next_run_at": cron.Next(now)}))
	if err == nil {
		c.hints.hintDue(0) // whoever fires looks when the next tick is
	}
	return set, err
}

// now returns the database's clock.
func (c *Client) now(ctx context.Context) (now time.Time, err error) {
	if err := c.pool.QueryRow(ctx, sql.Clock).Scan(&now); err != nil {
		return now, fmt.Errorf("read clock: %w", err)
	}
	return now, nil
}

// Schedules returns all schedules by name.
func (c *Client) Schedules(ctx context.Context) ([]Schedule, error) {
	return all[Schedule](ctx, c.reads, "list schedules", sql.Schedules, pgx.StrictNamedArgs{"name": nil})
}

// Schedule returns one schedule, or ErrNotFound.
func (c *Client) Schedule(ctx context.Context, name string) (Schedule, error) {
	return named[Schedule](ctx, c.reads, "read schedule", sql.Schedules, name, pgx.StrictNamedArgs{})
}

// named runs a statement on the schedule of a name.
func named[T any](ctx context.Context, pool *pgxpool.Pool, verb, statement string, name string, args pgx.StrictNamedArgs) (T, error) {
	if !storable(name) {
		var none T
		return none, ErrNotFound
	}
	args["name"] = name
	return one[T](ctx, pool, verb, statement, args)
}

// PauseSchedule stops a schedule from firing. ErrNotFound: there is none of that name.
func (c *Client) PauseSchedule(ctx context.Context, name string) error {
	type row struct{ PausedAt time.Time }
	_, err := named[row](ctx, c.pool, "pause schedule", sql.SchedulePause, name, by(ctx, pgx.StrictNamedArgs{}))
	return err
}

// ResumeSchedule lets a schedule fire again, from its next tick on: ticks of the pause are not made up for. ErrNotFound:
// there is none of that name.
func (c *Client) ResumeSchedule(ctx context.Context, name string) error {
	type row struct{ Name string }
	if _, err := named[row](ctx, c.pool, "resume schedule", sql.ScheduleResume, name, by(ctx, pgx.StrictNamedArgs{})); err != nil {
		return err
	}
	defer c.hints.hintDue(0)
	s, err := c.Schedule(ctx, name)
	if err != nil || s.NextRunAt != nil {
		return err
	}
	now, err := c.now(ctx)
	if err != nil {
		return err
	}
	// Guarded by what was read, like that of every process that sees a schedule without a next tick.
	return c.fireOne(ctx, dueSchedule{Name: &s.Name, Expression: &s.Expression, Zone: &s.Zone, Now: now})
}

// DeleteSchedule removes a schedule; tasks that it made stay. ErrNotFound: there is none of that name.
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	type row struct{ Name string }
	_, err := named[row](ctx, c.pool, "delete schedule", sql.ScheduleDelete, name, by(ctx, pgx.StrictNamedArgs{}))
	return err
}

// TriggerSchedule makes a task of a schedule now, beside its ticks, and returns its id. The task belongs to the trace of the
// OpenTelemetry span in ctx, if any. ErrNotFound: there is none of that name.
func (c *Client) TriggerSchedule(ctx context.Context, name string) (TaskID, error) {
	type row struct{ ID TaskID }
	r, err := named[row](ctx, c.pool, "trigger schedule", sql.Trigger, name, by(ctx, pgx.StrictNamedArgs{"trace": null(TraceParent(ctx))}))
	return r.ID, err
}

// dueSchedule is a schedule that should fire, or has no next tick; the row without a name says when the next is due.
type dueSchedule struct {
	Name       *string
	Expression *string
	Zone       *string
	TickAt     *time.Time
	Now        time.Time
	NextMS     *int64
}

// askDue fires the schedules that are due. What it reads is only what it tries: fire.sql is guarded by it, so of many processes
// one makes the task.
func (c *Client) askDue(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	var list []dueSchedule
	batch.Queue(sql.Due, maintainBatch).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[dueSchedule])
		return err
	})
	return func(ctx context.Context) (next time.Duration, err error) {
		next = c.quiet()
		var failed error
		for _, s := range list {
			switch {
			case s.Name != nil:
				next = 0
				if err := c.fireOne(ctx, s); err != nil { // the others shall fire all the same
					failed = errors.Join(failed, fmt.Errorf("schedule %s: %w", *s.Name, err))
				}
			case s.NextMS != nil && next > 0:
				next = min(next, time.Duration(*s.NextMS)*time.Millisecond)
			}
		}
		return next, failed
	}
}

// fireOne makes the task of a due tick, or plans the first one. A row that can do neither, whatever is tried, is marked with
// the reason and left alone from then on, so that the others fire.
func (c *Client) fireOne(ctx context.Context, s dueSchedule) error {
	cron, err := ParseCron(*s.Expression, *s.Zone)
	if err != nil {
		return c.refuse(ctx, s, err)
	}
	if s.TickAt == nil {
		next := nullTime(cron.Next(s.Now))
		if next == nil {
			return c.refuse(ctx, s, errors.New("it has no further tick"))
		}
		return c.plan(ctx, s, next, nil)
	}
	tick := *s.TickAt
	if s.Now.Sub(tick) > hiccup {
		if latest, ok := cron.Latest(tick, s.Now); ok {
			tick = latest
		}
	}
	type row struct {
		ID    TaskID
		Queue Queue
	}
	fired, err := one[row](ctx, c.pool, "fire", sql.Fire, pgx.StrictNamedArgs{"name": s.Name, "expression": s.Expression, "zone": s.Zone,
		"due": s.TickAt, "tick_at": tick, "next_run_at": nullTime(cron.Next(tick))})
	switch {
	case errors.Is(err, ErrNotFound):
		return nil // another process was first, or the schedule changed
	case Refused(err):
		return c.refuse(ctx, s, err)
	case err == nil:
		c.counters.fires.Add(1)
		c.counters.fireLag.Observe(int64(c.Now().Sub(tick)))
		c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "fire", slog.String("schedule", *s.Name), slog.String("task_id", fired.ID.String()))
	}
	return err
}

// refuse marks a schedule with why it can't fire.
func (c *Client) refuse(ctx context.Context, s dueSchedule, reason error) error {
	c.config.Logger.LogAttrs(ctx, slog.LevelError, "fire", slog.String("schedule", *s.Name), slog.Any("err", reason))
	text := CleanText(reason.Error(), 1000)
	return c.plan(ctx, s, s.TickAt, &text)
}

func (c *Client) plan(ctx context.Context, s dueSchedule, next *time.Time, reason *string) error {
	_, err := c.pool.Exec(ctx, sql.Plan, pgx.StrictNamedArgs{"name": s.Name, "expression": s.Expression, "zone": s.Zone, "due": s.TickAt,
		"next_run_at": next, "error": reason})
	return err
}
