package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

const (
	maintainBatch = 1000                   // rows that one statement takes
	quietEvery    = 5 * time.Second        // how often to look for what is announced anyway; the TTL and this is how long a dead worker's tasks wait
	together      = 2 * time.Second        // what is due within this is done at once with what is due now
	dueJitter     = 5 * time.Millisecond   // so that many processes do not all look at the same instant
	slowdown      = 500 * time.Millisecond // pause after an error
	rescueEvery   = quietEvery             // how often dead workers are looked for
	rescueBatch   = 3                      // workers that one statement looks after; each may have held thousands of tasks
	rescuePause   = 5 * time.Second        // after not having seen the database for a while: so have the workers
)

// Maintain does what is due, with whichever other processes do the same and without a leader: it promotes delayed tasks,
// retries and snoozes at their time, cancels what expired, fires schedules, gives back the tasks of dead workers, and finds
// ready tasks whose announcement was lost. It blocks until ctx ends, then returns nil. Errors are logged, once until it works
// again. Every worker and server runs it. What is not announced is looked for every Config.Poll, and every 5 s while the
// process listens to announcements: all in one round trip and one transaction, so that an idle process costs next to nothing.
func (c *Client) Maintain(ctx context.Context) error {
	duties := []*duty{{verb: "rescue", ask: c.rescuer()}, {verb: "fire", ask: c.askDue, early: true}, {verb: "ready", ask: c.askReady},
		{verb: "promote", ask: c.askPromote, early: true}}
	timer := time.NewTimer(rand.N(dueJitter + time.Millisecond))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-c.due:
			for _, it := range duties {
				it.notAfter(time.Now().Add(d+rand.N(dueJitter)), d)
			}
		case <-timer.C:
			c.round(ctx, duties)
		}
		timer.Reset(time.Until(slices.MinFunc(duties, func(a, b *duty) int { return a.next.Compare(b.next) }).next))
	}
}

// DueIn tells Maintain of this process that something is due in d; called for notifications on ChannelDue. Never blocks.
func (c *Client) DueIn(d time.Duration) { c.dueIn(d) }

// duty is one thing that Maintain looks after. ask queues its statements and returns what to do once these are answered,
// which tells when to look again.
type duty struct {
	verb    string
	ask     func(batch *pgx.Batch) func(ctx context.Context) (time.Duration, error)
	early   bool      // what is announced to be due concerns it
	next    time.Time // zero: now
	failing bool
}

// notAfter brings the duty forward when something was announced to be due in d, or when nothing is announced any more.
func (d *duty) notAfter(when time.Time, in time.Duration) {
	if (d.early || in == lookNow) && when.Before(d.next) {
		d.next = when
	}
}

// lookNow as a time until something is due: anything may be.
const lookNow = -1

// round does the duties that are due, or nearly, in one transaction; when that fails, each by itself, so that none stands in
// the way of the others.
func (c *Client) round(ctx context.Context, duties []*duty) {
	now := time.Now()
	var some []*duty
	due := false
	for _, it := range duties {
		if in := it.next.Sub(now); in <= together {
			some, due = append(some, it), due || in <= 0
		}
	}
	if !due {
		return
	}
	if len(some) > 1 && c.do(ctx, some) == nil {
		return
	}
	for _, it := range some {
		if ctx.Err() != nil {
			return
		}
		if err := c.do(ctx, []*duty{it}); err != nil && ctx.Err() == nil {
			if !it.failing {
				c.config.Logger.LogAttrs(ctx, slog.LevelWarn, it.verb, slog.Any("err", err))
			}
			it.failing, it.next = true, time.Now().Add(slowdown+rand.N(slowdown))
		}
	}
}

// do carries out duties in one round trip. An error means that none was.
func (c *Client) do(ctx context.Context, duties []*duty) error {
	ctx, cancel := context.WithTimeout(bePatient(ctx), statementTimeout)
	defer cancel()
	var batch pgx.Batch
	after := make([]func(context.Context) (time.Duration, error), len(duties))
	for i, it := range duties {
		after[i] = it.ask(&batch)
	}
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	for i, it := range duties {
		next, err := after[i](ctx)
		if err != nil {
			if !it.failing {
				c.config.Logger.LogAttrs(ctx, slog.LevelWarn, it.verb, slog.Any("err", err))
			}
			next = slowdown + rand.N(slowdown)
		}
		it.failing, it.next = err != nil, time.Now().Add(next)
	}
	return nil
}

// quiet is how long to wait for what nothing announces.
func (c *Client) quiet() time.Duration {
	if c.Hearing() {
		return max(quietEvery, c.config.Poll) + rand.N(quietEvery/20)
	}
	return c.config.Poll
}

// askPromote makes due tasks ready and cancels expired ones.
func (c *Client) askPromote(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	var moved, expired int
	next := c.quiet()
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
	return func(context.Context) (time.Duration, error) {
		if moved >= maintainBatch || expired >= maintainBatch {
			return 0, nil
		}
		return next, nil
	}
}

type promoted struct {
	Queue  *Queue
	Tasks  int64
	NextMS *int64
}

// askReady finds queues with ready tasks, for the workers of this process: the process that made them may have died before it
// announced them.
func (c *Client) askReady(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	var queues []Queue
	if c.Hearing() { // else the workers poll by themselves
		batch.Queue(sql.Ready).Query(func(rows pgx.Rows) (err error) {
			queues, err = pgx.CollectRows(rows, pgx.RowTo[Queue])
			return err
		})
	}
	return func(context.Context) (time.Duration, error) {
		for _, queue := range queues {
			c.ears.tell(ChannelReady, string(queue))
		}
		return c.quiet(), nil
	}
}

// rescuer returns askRescue, made careful: when this process could not look for a while, the workers may have been cut off
// from the database as well, and get a moment to send their heartbeats before they are judged by them.
func (c *Client) rescuer() func(*pgx.Batch) func(context.Context) (time.Duration, error) {
	last := time.Now()
	return func(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
		then := func(context.Context) (time.Duration, error) { return rescuePause, nil }
		if time.Since(last) > 3*rescueEvery {
			batch.Queue(sql.Clock) // is it there?
		} else {
			then = c.askRescue(batch)
		}
		return func(ctx context.Context) (time.Duration, error) {
			last = time.Now()
			return then(ctx)
		}
	}
}

// askRescue gives back the tasks of dead workers.
func (c *Client) askRescue(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	type row struct {
		ID       TaskID
		Queue    Queue
		Kind     string
		State    State
		Attempt  int
		WorkerID WorkerID
	}
	var list []row
	batch.Queue(sql.Rescue, pgx.StrictNamedArgs{"max_crashes": c.config.MaxCrashes, "limit": rescueBatch}).Query(func(rows pgx.Rows) (err error) {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByName[row])
		return err
	})
	return func(ctx context.Context) (time.Duration, error) {
		for _, r := range list {
			c.config.Logger.LogAttrs(ctx, slog.LevelWarn, "rescue", slog.String("task_id", r.ID.String()), slog.String("queue", string(r.Queue)),
				slog.String("kind", r.Kind), slog.Int("attempt", r.Attempt), slog.String("worker_id", r.WorkerID.String()), slog.String("state", string(r.State)))
		}
		if len(list) > 0 {
			return 0, nil // there may be more
		}
		return rescueEvery + rand.N(rescueEvery/20), nil
	}
}
