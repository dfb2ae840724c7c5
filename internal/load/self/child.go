package self

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/scheduler"
)

// order is a line from the parent to a worker process. The first one says what to do.
type order struct {
	DatabaseURL string          `json:"database_url,omitempty"`
	Queue       scheduler.Queue `json:"queue,omitempty"`
	Slots       int             `json:"slots,omitempty"`
	Hold        bool            `json:"hold,omitempty"`  // handlers wait for release
	Serve       bool            `json:"serve,omitempty"` // serve the API rather than work

	Do string `json:"do,omitempty"` // go, report, release; the end of the input: stop
}

// message is a line from a worker process.
type message struct {
	Is      string `json:"is"`                // ready, count, report, end
	Address string `json:"address,omitempty"` // where it serves: ready
	Started int64  `json:"started,omitempty"`
	Handled int64  `json:"handled,omitempty"`
	CPU     int64  `json:"cpu_us,omitempty"`     // of the process since go
	RSS     int64  `json:"rss_bytes,omitempty"`  // of the process now
	Peak    int64  `json:"peak_bytes,omitempty"` // at most so far
}

// countEvery is how often a worker process tells how far it is.
const countEvery = 10 * time.Millisecond

// ServeFunc serves the API of a client's database on a port of this machine until stop is called.
type ServeFunc func(ctx context.Context, client *scheduler.Client) (address string, stop func(), err error)

// Child is a worker process, or a server by serve: it obeys the lines on in until they end, and answers on out.
func Child(ctx context.Context, in io.Reader, out io.Writer, serve ServeFunc, logger *slog.Logger) error {
	lines := json.NewDecoder(bufio.NewReader(in))
	var first order
	if err := lines.Decode(&first); err != nil {
		return err
	}
	stage := &Stage{config: Config{DatabaseURL: first.DatabaseURL, Logger: logger}, queue: first.Queue}
	failed := make(chan error, 1)
	its, err := stage.subject(ctx, load.Setup{Slots: first.Slots, Fail: func(err error) { failed <- err }})
	if err != nil {
		return err
	}
	defer its.Close()
	c := &child{subject: its, hold: first.Hold, release: make(chan struct{}), out: json.NewEncoder(out)}
	ready := message{Is: "ready"}
	if first.Serve {
		address, stop, err := serve(ctx, its.client)
		if err != nil {
			return err
		}
		defer stop()
		ready.Address = address
	}
	if err := c.say(ready); err != nil {
		return err
	}
	var group errgroup.Group
	obeyed := make(chan struct{})
	group.Go(func() error { defer close(obeyed); return c.obey(ctx, lines) }) // until the end of the input
	group.Go(func() error { return c.count(obeyed, failed) })                 // until then, or the worker's own end
	return group.Wait()
}

// child is a worker process from within.
type child struct {
	subject          *subject
	hold             bool
	release          chan struct{}
	once             sync.Once
	started, handled load.Tally
	before           time.Duration // CPU at go
	mu               sync.Mutex
	out              *json.Encoder
}

func (c *child) say(m message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Encode(m)
}

// obey carries orders out until they end, then stops the worker.
func (c *child) obey(ctx context.Context, lines *json.Decoder) (err error) {
	stop := func() error { return nil }
	for {
		var o order
		if err := lines.Decode(&o); err != nil {
			c.once.Do(func() { close(c.release) })
			if !errors.Is(err, io.EOF) {
				return errors.Join(err, stop())
			}
			if err := stop(); err != nil {
				return err
			}
			return c.say(c.report("end"))
		}
		switch o.Do {
		case "go":
			c.before = load.ClientCPU()
			if stop, err = c.subject.Work(ctx, c.handle); err != nil {
				return err
			}
		case "release":
			c.once.Do(func() { close(c.release) })
		case "report":
			if err := c.say(c.report("report")); err != nil {
				return err
			}
		}
	}
}

func (c *child) handle(int64) {
	c.started.Add()
	if c.hold {
		<-c.release
	}
	c.handled.Add()
}

func (c *child) report(is string) message {
	now, peak := load.Memory()
	return message{Is: is, Started: c.started.Count(), Handled: c.handled.Count(), CPU: (load.ClientCPU() - c.before).Microseconds(), RSS: now, Peak: peak}
}

// count tells how far the worker is, whenever that has changed, until obeyed is closed.
func (c *child) count(obeyed <-chan struct{}, failed <-chan error) error {
	ticker := time.NewTicker(countEvery)
	defer ticker.Stop()
	for last := (message{}); ; {
		select {
		case <-obeyed:
			return nil
		case err := <-failed:
			return err
		case <-ticker.C:
		}
		if m := (message{Is: "count", Started: c.started.Count(), Handled: c.handled.Count()}); m.Started != last.Started || m.Handled != last.Handled {
			last = m
			if err := c.say(m); err != nil {
				return err
			}
		}
	}
}
