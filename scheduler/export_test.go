package scheduler

import (
	"context"
	"time"
)

// ForgetPositions makes the next lease of each queue look from the beginning.
func (c *Client) ForgetPositions() {
	c.positions.mu.Lock()
	defer c.positions.mu.Unlock()
	clear(c.positions.queues)
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
