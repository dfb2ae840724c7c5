package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/sql"
)

// scouts look from the beginning of a queue, where that takes long, for what leases from the remembered position pass by. They
// only read, on a connection that no lease waits for, one at a time.
type scouts struct {
	life    context.Context // ends with the client: scouts outlive the lease that sent them
	end     context.CancelFunc
	one     sync.Mutex
	flights sync.WaitGroup
}

func newScouts(ctx context.Context) scouts {
	life, end := context.WithCancel(bePatient(context.WithoutCancel(ctx)))
	return scouts{life: life, end: end}
}

func (s *scouts) close() {
	s.end()
	s.flights.Wait()
}

// scout sends one, if it is time or when it will be.
func (c *Client) scout(w way) {
	wait, ok := c.positions.sendScout(w, time.Now())
	if !ok {
		return
	}
	c.scouts.flights.Go(func() { // ends after one look, or with the client; close waits for it
		select {
		case <-c.scouts.life.Done():
			return
		case <-time.After(wait):
		}
		c.scouts.one.Lock()
		defer c.scouts.one.Unlock()
		found, took, err := c.lookBefore(c.scouts.life, w)
		if err != nil && c.scouts.life.Err() == nil {
			c.config.Logger.LogAttrs(c.scouts.life, slog.LevelDebug, "lease", slog.String("queue", string(w.queue)), slog.Any("err", err))
		}
		if c.positions.scouted(w, found, time.Now(), took) {
			c.ear.tell(ChannelReady, string(w.queue))
		}
	})
}

// lookBefore returns the first ready task before the remembered position, if there is one, and how long it looked.
func (c *Client) lookBefore(ctx context.Context, w way) (found []position, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	err = c.hot.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		end, began := c.positions.from(w), time.Now()
		defer func() { took = time.Since(began) }()
		rows, err := conn.Query(ctx, sql.LeaseScout, w.queue, w.list(), end.Priority, end.RunAt, end.ID)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, pgx.RowToStructByName[position])
		return err
	})
	return found, took, err
}

// skipForeign moves the remembered position after a walk that took long and found none to take: to where the ready tasks of
// the queue end, which are of kinds that others run, or to where what is submitted now comes.
func (c *Client) skipForeign(ctx context.Context, w way, took time.Duration) {
	const margin = time.Second
	rows, err := c.hot.Query(ctx, sql.LeaseTail, w.queue, (took + margin).Milliseconds())
	if err == nil {
		var end position
		if end, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[position]); err == nil {
			c.positions.skip(w, end)
			return
		}
	}
	c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "lease", slog.String("queue", string(w.queue)), slog.Any("err", err))
}
