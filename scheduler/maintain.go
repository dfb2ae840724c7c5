package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
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
	rescueSoonest = 100 * time.Millisecond // after one that left a dead worker to somebody else
	rescueBatch   = 3                      // workers that one statement looks after; each may have held thousands of tasks
	rescueLate    = 2 * time.Second        // a look that comes so much later did not see the database for a while; neither did the workers,
	rescuePause   = 5 * time.Second        // who get so long to send their heartbeats
)

// Maintain does what is due, with whichever other processes do the same and without a leader: it promotes delayed tasks,
// retries and snoozes at their time, cancels what expired, fires schedules, gives back the tasks of dead workers, and finds
// ready tasks whose announcement was lost. It blocks until ctx ends, then returns nil. Errors are logged, once until it works
// again. Every worker and server runs it. What is not announced is looked for every Config.Poll, and every 5 s while the
// process listens to announcements: all in one round trip and one transaction, so that an idle process costs next to nothing.
func (c *Client) Maintain(ctx context.Context) error {
	k := keeper{client: c, done: make(chan func()), duties: []*duty{{verb: "rescue", ask: c.rescuer()}, {verb: "fire", ask: c.askDue, early: true, slow: true},
		{verb: "ready", ask: c.askReady}, {verb: "bulk", ask: c.askBulk, early: true, slow: true},
		{verb: "prune", ask: c.askPrune}, {verb: "messages", ask: c.askMessages}, {verb: "timeout", ask: c.askTimeOut, early: true, slow: true},
		{verb: "promote", ask: c.askPromote, early: true}}}
	defer k.flights.Wait()
	timer := time.NewTimer(rand.N(dueJitter + time.Millisecond))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.due.told:
			if at, all := c.due.take(); !at.IsZero() {
				k.notAfter(at.Add(rand.N(dueJitter)), all)
			}
		case note := <-k.done:
			note()
		case <-timer.C:
			k.round(ctx)
		}
		timer.Reset(time.Until(k.next()))
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
	slow    bool      // what it does once it is answered takes long, and is done beside the others
	next    time.Time // zero: now
	busy    bool      // that is being done
	failing bool
}

// lookNow as a time until something is due: anything may be.
const lookNow = -1

// keeper does the duties. All is called by one goroutine but what is in flights.
type keeper struct {
	client  *Client
	duties  []*duty
	flights sync.WaitGroup // of slow duties
	done    chan func()    // what to note when one has landed
}

// next is when the first duty is due.
func (k *keeper) next() time.Time {
	next := time.Now().Add(pollMost)
	for _, it := range k.duties {
		if !it.busy && it.next.Before(next) {
			next = it.next
		}
	}
	return next
}

// notAfter brings duties forward when something was announced to be due, or when anything may be.
func (k *keeper) notAfter(when time.Time, all bool) {
	for _, it := range k.duties {
		if (it.early || all) && when.Before(it.next) {
			it.next = when
		}
	}
}

// round does the duties that are due, or nearly, in one transaction; when that fails, each by itself, so that none stands in
// the way of the others.
func (k *keeper) round(ctx context.Context) {
	now := time.Now()
	var some []*duty
	due := false
	for _, it := range k.duties {
		if in := it.next.Sub(now); in <= together && !it.busy {
			some, due = append(some, it), due || in <= 0
		}
	}
	if !due {
		return
	}
	if len(some) > 1 && k.do(ctx, some) == nil {
		return
	}
	for _, it := range some {
		if ctx.Err() != nil {
			return
		}
		if err := k.do(ctx, []*duty{it}); err != nil && ctx.Err() == nil {
			k.note(ctx, it, time.Now(), 0, err)
		}
	}
}

// do carries out duties in one round trip. An error means that none was.
func (k *keeper) do(ctx context.Context, duties []*duty) error {
	call, cancel := context.WithTimeout(bePatient(ctx), statementTimeout)
	defer cancel()
	var batch pgx.Batch
	then := make([]func(context.Context) (time.Duration, error), len(duties))
	for i, it := range duties {
		then[i] = it.ask(&batch)
	}
	if err := k.client.hot.SendBatch(call, &batch).Close(); err != nil {
		return err
	}
	answered := time.Now()
	for i, it := range duties {
		if it.slow {
			k.launch(ctx, it, answered, then[i])
			continue
		}
		next, err := then[i](call)
		k.note(ctx, it, answered, next, err)
	}
	return nil
}

// launch has the rest of a slow duty done beside the others.
func (k *keeper) launch(ctx context.Context, it *duty, answered time.Time, then func(context.Context) (time.Duration, error)) {
	it.busy, it.next = true, answered.Add(pollMost)
	k.flights.Go(func() { // ends when it is done; Maintain waits for it
		next, err := then(bePatient(ctx))
		select {
		case k.done <- func() {
			announced := it.next
			it.busy = false
			k.note(ctx, it, answered, next, err)
			it.next = slices.MinFunc([]time.Time{it.next, announced}, time.Time.Compare)
		}:
		case <-ctx.Done():
		}
	})
}

// note sets when to look again: so long after the answer, or in a while after an error.
func (k *keeper) note(ctx context.Context, it *duty, answered time.Time, next time.Duration, err error) {
	if err != nil {
		if !it.failing && ctx.Err() == nil {
			k.client.config.Logger.LogAttrs(ctx, slog.LevelWarn, it.verb, slog.Any("err", err))
		}
		answered, next = time.Now(), slowdown+rand.N(slowdown)
	}
	it.failing, it.next = err != nil, answered.Add(next)
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
		c.counters.promotions.Add(uint64(moved))
		c.counters.expired.Add(uint64(expired))
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
		if time.Since(last) > rescueEvery+rescueEvery/20+rescueLate {
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
	var nextMS *int64
	batch.Queue(sql.RescueNext).QueryRow(func(row pgx.Row) error { return row.Scan(&nextMS) })
	return func(ctx context.Context) (time.Duration, error) {
		c.counters.rescues.Add(uint64(len(list)))
		for _, r := range list {
			c.tallies.add(r.Queue, r.Kind, func(t *tally) { t.crashed++ })
			c.config.Logger.LogAttrs(ctx, slog.LevelWarn, "rescue", slog.String("task_id", r.ID.String()), slog.String("queue", string(r.Queue)),
				slog.String("kind", r.Kind), slog.Int("attempt", r.Attempt), slog.String("worker_id", r.WorkerID.String()), slog.String("state", string(r.State)))
		}
		if len(list) > 0 {
			return 0, nil // there may be more
		}
		next := rescueEvery + rand.N(rescueEvery/20)
		if nextMS != nil { // a worker that is silent already is looked at when its time is over
			next = min(next, max(rescueSoonest, time.Duration(*nextMS)*time.Millisecond)+rand.N(dueJitter))
		}
		return next, nil
	}
}
