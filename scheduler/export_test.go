package scheduler

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PinPlans sets what connections of the hot path are opened with.
func PinPlans(params map[string]string) { pinPlans(params) }

// ForgetPositions makes the next lease of each queue look from the beginning.
func (c *Client) ForgetPositions() {
	c.positions.mu.Lock()
	defer c.positions.mu.Unlock()
	clear(c.positions.queues)
}

// ResetConnections closes all idle connections.
func (c *Client) ResetConnections() {
	for _, pool := range []*pgxpool.Pool{c.hot, c.pool, c.reads, c.vital} {
		pool.Reset()
	}
}

// What Maintain does again and again, until there is nothing left to do at once.

func (c *Client) PromoteOnce(ctx context.Context) error { return drain(ctx, c.promote) }
func (c *Client) RescueOnce(ctx context.Context) error  { return drain(ctx, c.rescue) }

// FireOnce is one round: it fires each schedule at most once.
func (c *Client) FireOnce(ctx context.Context) error { _, err := c.fireDue(ctx); return err }

func drain(ctx context.Context, do func(context.Context) (time.Duration, error)) error {
	for {
		if next, err := do(ctx); err != nil || next > 0 {
			return err
		}
	}
}
