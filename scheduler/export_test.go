package scheduler

// ForgetPositions makes the next lease of each queue look from the beginning.
func (c *Client) ForgetPositions() {
	c.positions.mu.Lock()
	defer c.positions.mu.Unlock()
	clear(c.positions.queues)
}
