package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Config of a Worker. The zero value takes from the default queue, ten tasks at once.
type Config struct {
	// Queues that it takes from, with their weights: when several have ready tasks, slots are given out in proportion; a
	// queue without ready tasks leaves its share to the others. nil: the default queue.
	Queues []Share

	// Concurrency is how many tasks run at once, 1 to 10,000. 0: 10. Commands of HandleCommand have slots of their own.
	Concurrency int

	// Heartbeat is how often the leases are renewed, with one statement, 10 ms and up. 0: 5 s.
	Heartbeat time.Duration

	// TTL is how long the worker may be silent before its tasks are given to others, at least 3 Heartbeats. 0: 3 Heartbeats.
	// Handlers are stopped at four fifths of it when heartbeats fail. Too short: a slow database makes tasks run twice.
	TTL time.Duration

	// Poll is how often ready tasks are looked for while the process does not hear what is announced, 10 ms and up. 0: 1 s.
	Poll time.Duration

	// DrainTimeout is how long Run waits for running tasks once its context has ended, before it hands them back. 0: 30 s;
	// negative: not at all.
	DrainTimeout time.Duration

	// Name is shown to people. "": host:pid.
	Name string

	// Version of the program, shown to people.
	Version string

	// Logger gets what happens. nil: slog.Default(). Payloads are never logged.
	Logger *slog.Logger

	// QuietErrors has the codes of errors logged, not their messages, which may hold what others sent.
	QuietErrors bool

	// Gate bounds how many tasks it holds by more than Concurrency. nil: nothing does.
	Gate *Gate

	// Hosted: another part of the process listens for it and tells it by Hear, and runs scheduler.Client.Maintain. For several
	// workers in one process, which need that once.
	Hosted bool
}

// Gate bounds how many tasks a Worker holds by something that is kept elsewhere, as a limit over many processes. Its
// functions are called from several goroutines.
type Gate struct {
	// Ask is called before tasks are leased, with who leases and how many it would take, 1 and up. It returns how many it may;
	// when none, how long it is of no use to ask again, unless Wake is called; 0: until then.
	Ask func(ctx context.Context, worker scheduler.WorkerID, most int) (granted int, again time.Duration, err error)

	// Took follows each Ask that granted some: so many tasks were leased, 0 to granted.
	Took func(n int)

	// Ended is called once for each task that was taken, when its handler has returned.
	Ended func()
}

// Share is a queue and its weight, 1 to 1000; 0: 1.
type Share struct {
	Queue  scheduler.Queue
	Weight int
}

// Check returns the error that New would return for the Config.
func (c Config) Check() error { return c.fill() }

func (c *Config) fill() error {
	c.Queues = slices.Clone(c.Queues) // the caller's stay as they are
	if len(c.Queues) == 0 {
		c.Queues = []Share{{Queue: scheduler.DefaultQueue}}
	}
	setDefault(&c.Concurrency, 10)
	setDefault(&c.Heartbeat, 5*time.Second)
	setDefault(&c.TTL, 3*c.Heartbeat)
	setDefault(&c.Poll, time.Second)
	setDefault(&c.DrainTimeout, 30*time.Second)
	if c.Name == "" {
		host, _ := os.Hostname()
		c.Name = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	seen := map[scheduler.Queue]bool{}
	for i := range c.Queues {
		share := &c.Queues[i]
		setDefault(&share.Weight, 1)
		switch {
		case !scheduler.ValidQueue(share.Queue):
			return fmt.Errorf("worker: Config.Queues: %q cannot be a queue: 1 to 128 letters, digits and _ . -, not starting with punctuation", share.Queue)
		case share.Weight < 1 || share.Weight > 1000:
			return fmt.Errorf("worker: Config.Queues: the weight of %q is not 1 to 1000", share.Queue)
		case seen[share.Queue]:
			return fmt.Errorf("worker: Config.Queues: %q is listed twice", share.Queue)
		}
		seen[share.Queue] = true
	}
	switch {
	case c.Concurrency < 1 || c.Concurrency > 10000:
		return fmt.Errorf("worker: Config.Concurrency is not 1 to 10000")
	case c.Heartbeat < 10*time.Millisecond:
		return fmt.Errorf("worker: Config.Heartbeat is shorter than 10ms")
	case c.TTL < 3*c.Heartbeat:
		return fmt.Errorf("worker: Config.TTL %s is shorter than three heartbeats of %s", c.TTL, c.Heartbeat)
	case c.Poll < 10*time.Millisecond:
		return fmt.Errorf("worker: Config.Poll is shorter than 10ms")
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
