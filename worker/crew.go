package worker

import "sync"

// crew runs attempts in goroutines that are kept for the next ones: a fresh goroutine grows its stack first, which for a
// short task costs more than all else that the worker does with it. Waking is a chain, as in Go's own scheduler: one at a time
// is woken, and wakes the next when it has found work and more is left. Handlers that wait thus all run at once, while those
// that return at once are run by a few goroutines that are warm. There are never more than attempts at one time. Safe for
// concurrent use.
type crew struct {
	run func(*attempt) // may end its goroutine

	mu     sync.Mutex
	queue  []*attempt
	idle   []chan struct{} // those that wait, the last to have worked at the end
	waking bool            // one was woken, or started, and has not looked for work yet
	closed bool
}

// mostIdle is how many goroutines are kept: as many as can be warm. Those of handlers that wait are made anew.
const mostIdle = 100

// start has the attempts run, in order.
func (c *crew) start(attempts []*attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, attempts...)
	c.call()
}

// call wakes or starts somebody, when there is work and nobody is on the way. c.mu is held.
func (c *crew) call() {
	if c.waking || len(c.queue) == 0 {
		return
	}
	c.waking = true
	if n := len(c.idle); n > 0 {
		close(c.idle[n-1])
		c.idle = c.idle[:n-1]
		return
	}
	go c.work() // ends when the crew is closed, or with a handler that ends its goroutine
}

func (c *crew) work() {
	woken := true
	for {
		a := c.next(woken)
		if a == nil {
			return
		}
		woken = false
		c.run(a)
	}
}

// next returns the next attempt, nil when there is none and the caller is not needed any more. woken: the caller was called for.
func (c *crew) next(woken bool) *attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if woken {
			c.waking = false
		}
		if len(c.queue) > 0 {
			a := c.queue[0]
			c.queue[0] = nil
			if c.queue = c.queue[1:]; len(c.queue) == 0 {
				c.queue = nil
			}
			c.call()
			return a
		}
		if c.closed || len(c.idle) == mostIdle {
			return nil
		}
		wait := make(chan struct{})
		c.idle = append(c.idle, wait)
		c.mu.Unlock()
		<-wait
		c.mu.Lock()
		woken = true
	}
}

// close lets the goroutines end once there is nothing to run.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, wait := range c.idle {
		close(wait)
	}
	c.idle = nil
}
