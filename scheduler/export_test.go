package scheduler

import "context"

// ForgetPositions makes the next lease of each queue look from the beginning.
func (c *Client) ForgetPositions() {
	c.positions.mu.Lock()
	defer c.positions.mu.Unlock()
	clear(c.positions.queues)
}

// What Maintain does again and again, once.

func (c *Client) PromoteOnce(ctx context.Context) error { _, err := c.promote(ctx); return err }
func (c *Client) RescueOnce(ctx context.Context) error  { _, err := c.rescue(ctx); return err }
func (c *Client) FireOnce(ctx context.Context) error    { _, err := c.fireDue(ctx); return err }
