package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options are how much of it. The zero value of each is the workload's own default.
type Options struct {
	Tasks   int           // 100,000; bloat 500,000; payload 20,000
	Clients []int         // of submit, one case each: 1, 8, 32, 128
	Window  time.Duration // submit 5 s a case, e2e 20 s a case, latency 10 s, idle 30 s
	Slots   int           // handlers at once: 2,000; bloat 100; latency and idle 10
	Payload int           // bytes of JSON: 100
}

// Validate names the first option that is out of its bounds.
func (o Options) Validate() error {
	for _, c := range []struct {
		name        string
		value, most int
	}{
		{"tasks", o.Tasks, 100_000_000}, {"concurrency", o.Slots, 10_000}, {"payload", o.Payload, 262_144},
		{"seconds", int(o.Window / time.Second), 3600}, {"clients", len(o.Clients), 100},
	} {
		if c.value < 0 || c.value > c.most {
			return fmt.Errorf("%s is not 0 to %d", c.name, c.most)
		}
	}
	if slices.ContainsFunc(o.Clients, func(n int) bool { return n < 1 || n > 10_000 }) {
		return errors.New("clients are not 1 to 10000 each")
	}
	return nil
}

// Bench is a queue to be measured, and where.
type Bench struct {
	DatabaseURL string
	Schema      string // whose updates are counted; "": all
	Open        func(context.Context, Setup) (Subject, error)
	Progress    func(Progress) // called ten times a second by one goroutine at a time; nil: nobody looks
}

// Progress is how far a workload is.
type Progress struct {
	Workload string
	Phase    string
	Done     int64
	Total    int64 // 0: unknown
}

// Emit is given each result as soon as it is there.
type Emit func(Result) error

// Workload measures one thing and emits a result for each of its cases.
type Workload func(context.Context, *Run, Emit) error

// workloads by name.
var workloads = map[string]Workload{
	"submit": submit, "drain": drain, "e2e": e2e, "latency": latency, "idle": idle, "bloat": bloat, "payload": payloads,
}

// Most is how long a workload may take.
const Most = 45 * time.Minute

// Run carries a workload out and emits the results of its cases. ctx ends it early.
func (b Bench) Run(ctx context.Context, name string, o Options, emit Emit) error {
	return b.RunAs(ctx, name, name, o, emit)
}

// RunAs is Run with another name in the results.
func (b Bench) RunAs(ctx context.Context, as, name string, o Options, emit Emit) error {
	do := workloads[name]
	if do == nil {
		return fmt.Errorf("there is no workload %q", name)
	}
	return b.RunWith(ctx, as, do, o, emit)
}

// RunWith is Run for a workload of the caller's own.
func (b Bench) RunWith(ctx context.Context, name string, do Workload, o Options, emit Emit) error {
	if err := o.Validate(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, Most)
	defer cancel()
	gauge, err := OpenGauge(ctx, b.DatabaseURL, b.Schema)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer gauge.Close(context.WithoutCancel(ctx))
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if err := do(ctx, &Run{Bench: b, Options: o, Name: name, Gauge: gauge, fail: fail}, emit); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Run is one workload under way.
type Run struct {
	Bench
	Options
	Name  string
	Gauge *Gauge
	fail  context.CancelCauseFunc
}

// Default sets a field that was left at zero.
func Default[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Setup is how this run opens its subject.
func (r *Run) Setup() Setup {
	Default(&r.Slots, 2000)
	Default(&r.Payload, 100)
	return Setup{Slots: r.Slots, Clients: 1, Payload: r.Payload, Fail: r.fail}
}

// Watch tells Progress how far a phase is until the function it returns is called.
func (r *Run) Watch(phase string, total int64, done func() int64) (stop func()) {
	if r.Progress == nil {
		return func() {}
	}
	ended := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() { // until stop, which waits for it
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			r.Progress(Progress{Workload: r.Name, Phase: phase, Done: done(), Total: total})
			select {
			case <-ended:
				return
			case <-ticker.C:
			}
		}
	})
	return sync.OnceFunc(func() { close(ended); watcher.Wait() })
}

// Fill stores n tasks, of at most size each, and returns how long that took.
func (r *Run) Fill(ctx context.Context, s Subject, n, size int) (time.Duration, error) {
	const most, statement = 1000, 4 << 20 // tasks and bytes in one call
	batch := min(most, max(1, statement/max(size, 1)))
	var stored atomic.Int64
	defer r.Watch("insert", int64(n), stored.Load)()
	began := time.Now()
	for left := n; left > 0; left -= batch {
		if err := s.Insert(ctx, min(batch, left)); err != nil {
			return 0, err
		}
		stored.Add(int64(min(batch, left)))
	}
	return time.Since(began), nil
}
