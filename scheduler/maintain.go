package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/sql"
)

const (
	maintainBatch = 1000                   // rows that one statement takes
	rescueEvery   = 2 * time.Second        // how often dead workers are looked for
	dueJitter     = 5 * time.Millisecond   // so that many processes do not all look at the same instant
	slowdown      = 500 * time.Millisecond // pause after an error
	rescueBatch   = 3                      // workers that one statement looks after; each may have held thousands of tasks
	rescuePause   = 5 * time.Second        // after not having seen the database for a while: so have the workers
)

// Maintain does what is due, with whichever other processes do the same and without a leader: it promotes delayed tasks,
// retries and snoozes at their time, cancels what expired, fires schedules, and gives back the tasks of dead workers. It
// blocks until ctx ends, then returns nil. Errors are logged, once until it works again. Every worker and server runs it.
func (c *Client) Maintain(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { c.repeat(ctx, "promote", c.due, c.promote); return nil })
	g.Go(func() error { c.repeat(ctx, "fire", nil, c.fireDue); return nil })
	g.Go(func() error { c.repeat(ctx, "rescue", nil, c.rescuer()); return nil })
	return g.Wait()
}

// DueIn tells Maintain of this process that something is due in d; called for notifications on ChannelDue. Never blocks.
func (c *Client) DueIn(d time.Duration) { c.dueIn(d) }

// repeat calls do until ctx ends: after as long as it says, or sooner when early says that something is due.
func (c *Client) repeat(ctx context.Context, verb string, early <-chan time.Duration, do func(context.Context) (time.Duration, error)) {
	failing := false
	timer := time.NewTimer(rand.N(dueJitter + time.Millisecond))
	defer timer.Stop()
	var at time.Time // when the timer fires
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-early:
			if when := time.Now().Add(d + rand.N(dueJitter)); when.Before(at) {
				at = when
				timer.Reset(time.Until(at))
			}
			continue
		case <-timer.C:
		}
		call, cancel := context.WithTimeout(ctx, statementTimeout)
		next, err := do(call)
		cancel()
		if err != nil && ctx.Err() == nil {
			if !failing {
				c.config.Logger.LogAttrs(ctx, slog.LevelWarn, verb, slog.Any("err", err))
			}
			next = slowdown + rand.N(slowdown)
		}
		failing = err != nil
		at = time.Now().Add(next)
		timer.Reset(next)
	}
}

// promote makes due tasks ready and cancels expired ones, and returns when to look again.
func (c *Client) promote(ctx context.Context) (next time.Duration, err error) {
	var moved, expired int
	next = c.config.Poll
	var batch pgx.Batch
	batch.Queue(sql.Promote, maintainBatch).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[promoted])
		for _, row := range list {
			moved += int(row.Tasks)
			if row.NextMS != nil {
				next = min(next, time.Duration(*row.NextMS)*time.Millisecond+rand.N(dueJitter))
			}
		}
		return err
	})
	batch.Queue(sql.Expire, maintainBatch).Query(func(rows pgx.Rows) error {
		ids, err := pgx.CollectRows(rows, pgx.RowTo[TaskID])
		expired = len(ids)
		return err
	})
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, err
	}
	if moved >= maintainBatch || expired >= maintainBatch {
		return 0, nil
	}
	return next, nil
}

type promoted struct {
	Queue  *Queue
	Tasks  int64
	NextMS *int64
}

// rescuer returns rescue, made careful: when this process could not look for a while, the workers may have been cut off from
// the database as well, and get a moment to send their heartbeats before they are judged by them.
func (c *Client) rescuer() func(context.Context) (time.Duration, error) {
	last := time.Now()
	return func(ctx context.Context) (time.Duration, error) {
		if time.Since(last) > 3*rescueEvery {
			if err := c.Ping(ctx); err != nil {
				return 0, err
			}
			last = time.Now()
			return rescuePause, nil
		}
		next, err := c.rescue(ctx)
		if err == nil {
			last = time.Now()
		}
		return next, err
	}
}

// rescue gives back the tasks of dead workers.
func (c *Client) rescue(ctx context.Context) (next time.Duration, err error) {
	type row struct {
		ID       TaskID
		Queue    Queue
		Kind     string
		State    State
		Attempt  int
		WorkerID WorkerID
	}
	list, err := all[row](ctx, c.hot, "rescue", sql.Rescue, pgx.StrictNamedArgs{"max_crashes": c.config.MaxCrashes, "limit": rescueBatch})
	if err != nil {
		return 0, err
	}
	for _, r := range list {
		c.config.Logger.LogAttrs(ctx, slog.LevelWarn, "rescue", slog.String("task_id", r.ID.String()), slog.String("queue", string(r.Queue)),
			slog.String("kind", r.Kind), slog.Int("attempt", r.Attempt), slog.String("worker_id", r.WorkerID.String()), slog.String("state", string(r.State)))
	}
	if len(list) > 0 {
		return 0, nil // there may be more
	}
	return rescueEvery - rand.N(rescueEvery/4), nil
}
