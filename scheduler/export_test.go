package scheduler

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PinPlans sets what connections of the hot path are opened with.
func PinPlans(params map[string]string) { pinPlans(params) }

// Patient makes a client wait for locks for as long as tests wait for anything, so that nothing depends on how long a test holds one, or
// somebody who has one is held up; as long for its counts to be added, for what it hands back of those who are gone, and for the answer
// of a connection that listens, which else is given up.
func Patient(c Config) Config {
	c.bear, c.answer = time.Minute, time.Minute
	return c
}

// Pinging makes a client try a silent listening connection this often.
func Pinging(c Config, every time.Duration) Config {
	c.ping = every
	return c
}

// ForgetPositions makes the next lease of each queue look from the beginning.
func (c *Client) ForgetPositions() {
	c.positions.mu.Lock()
	defer c.positions.mu.Unlock()
	clear(c.positions.walks)
}

// ResetConnections closes all idle connections.
func (c *Client) ResetConnections() {
	for _, pool := range []*pgxpool.Pool{c.hot, c.pool, c.reads, c.vital, c.mouth} {
		pool.Reset()
	}
}

// LimitGroups sets how many calls go in one statement. To be called before any other.
func (c *Client) LimitGroups(most int) {
	c.submits.most, c.completions.most, c.failures.most, c.snoozes.most = most, most, most, most
}

// Grouped is how many calls wait for their statement.
func (c *Client) Grouped() int {
	return c.submits.queued() + c.completions.queued() + c.failures.queued() + c.snoozes.queued()
}

func (g *group[In, Out]) queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// What Maintain does again and again, until there is nothing left to do at once.

func (c *Client) PromoteOnce(ctx context.Context) error { return c.drain(ctx, c.askPromote) }
func (c *Client) RescueOnce(ctx context.Context) error  { return c.drain(ctx, c.askRescue) }

// FireOnce is one round: it fires each schedule at most once.
func (c *Client) FireOnce(ctx context.Context) error {
	_, err := c.once(ctx, c.askDue)
	return err
}

type ask = func(*pgx.Batch) func(context.Context) (time.Duration, error)

func (c *Client) drain(ctx context.Context, ask ask) error {
	for {
		if next, err := c.once(ctx, ask); err != nil || next > 0 {
			return err
		}
	}
}

func (c *Client) once(ctx context.Context, ask ask) (time.Duration, error) {
	var batch pgx.Batch
	then := ask(&batch)
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return 0, err
	}
	return then(ctx)
}

// WatchReads is how often tasks that somebody follows were read.
func (c *Client) WatchReads() int {
	c.watches.mu.Lock()
	defer c.watches.mu.Unlock()
	return c.watches.reads
}

// HearsMessages reports whether those who follow topics are told of publishes.
func (c *Client) HearsMessages() bool { return c.ear.hears(ChannelMessage) }

// TopicMatches reports whether a pattern matches a topic, in this process.
func TopicMatches(text, topic string) bool { return newPattern(text).matches(newPattern(topic)) }

// PruneMessages does once what Maintain does with messages.
func (c *Client) PruneMessages(ctx context.Context) error {
	var batch pgx.Batch
	then := c.askMessages(&batch)
	if err := c.hot.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	_, err := then(ctx)
	return err
}

// RenewedAsUnknown is what the dispatcher does when it has renewed a worker that waits, and there is none.
func (c *Client) RenewedAsUnknown(ctx context.Context, w WorkerInfo) error {
	if !c.dispatch.renewed(ctx, w, remoteState{}, time.Now()) {
		return errors.New("not entered anew")
	}
	return nil
}

// DispatchRests returns until when nothing is due for those who poll.
func (c *Client) DispatchRests() time.Time {
	d := &c.dispatch
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.due
}

// DispatchIdle reports whether no lease for a poll is under way or about to be.
func (c *Client) DispatchIdle() bool {
	d := &c.dispatch
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.waiters {
		if w.busy {
			return false
		}
	}
	for _, its := range d.lanes {
		if its.flying {
			return false
		}
	}
	return true
}

// ForgetRemotes has remote workers entered anew when they poll.
func (c *Client) ForgetRemotes() {
	c.dispatch.mu.Lock()
	defer c.dispatch.mu.Unlock()
	clear(c.dispatch.known)
}

// Remotes returns how many remote workers are known.
func (c *Client) Remotes() int {
	c.dispatch.mu.Lock()
	defer c.dispatch.mu.Unlock()
	return len(c.dispatch.known)
}

// AgeRemotes makes remote workers' last sweeps older by a part of the time after which the next is due.
func (c *Client) AgeRemotes(part float64) {
	c.dispatch.mu.Lock()
	defer c.dispatch.mu.Unlock()
	for _, r := range c.dispatch.known {
		r.swept = r.swept.Add(-time.Duration(part * float64(strayAfter)))
	}
}

// TimeOutOnce looks once for attempts of remote workers whose time is over.
func (c *Client) TimeOutOnce(ctx context.Context) error {
	_, err := c.once(ctx, c.askTimeOut)
	return err
}
