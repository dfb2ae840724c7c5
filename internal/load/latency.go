package load

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	latencyEvery = 10 * time.Millisecond // between two submits
	latencyMost  = 64                    // submits under way; more means that the queue does not keep up
)

// latency measures from before a submit to the start of its handler, with a worker that has nothing else to do.
func latency(ctx context.Context, r *Run, emit Emit) error {
	Default(&r.Slots, 10)
	s, err := r.Open(ctx, r.Setup())
	if err != nil {
		return err
	}
	defer s.Close()
	out, err := r.latency(ctx, s, "")
	if err != nil {
		return err
	}
	return emit(out)
}

// latency submits a hundred times a second for Window.
func (r *Run) latency(ctx context.Context, s Subject, name string) (out Result, err error) {
	Default(&r.Window, 10*time.Second)
	goal := int64(r.Window / latencyEvery)
	var mu sync.Mutex
	var took []time.Duration
	tally, began := NewTally(), time.Now()
	stop, err := s.Work(ctx, func(at int64) {
		if at != 0 { // the first one of all is not measured
			mu.Lock()
			took = append(took, time.Since(began)-time.Duration(at))
			mu.Unlock()
		}
		tally.Add()
	})
	if err != nil {
		return out, err
	}
	if err := first(s.Submit(ctx, 0), tally.Reach(ctx, 1)); err != nil { // connected, prepared, idle
		return out, first(err, stop())
	}
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return out, first(err, stop())
	}
	stopWatch := r.Watch("latency "+name, goal, tally.Count)
	paced := pace(ctx, s, goal, began)
	if paced == nil {
		paced = tally.Finish(ctx, s, goal+1)
	}
	usage, err := r.Gauge.End(ctx, span)
	stopWatch()
	if err := first(paced, stop(), err); err != nil {
		return out, err
	}
	out = Result{Workload: r.Name, Case: name}
	out.Rate(goal, usage.Took)
	out.PerTask(usage)
	out.Percentiles(took)
	return out, nil
}

// pace submits n times, one every latencyEvery whatever the answers take.
func pace(ctx context.Context, s Subject, n int64, began time.Time) error {
	group, life := errgroup.WithContext(ctx)
	group.SetLimit(latencyMost)
	ticker := time.NewTicker(latencyEvery)
	defer ticker.Stop()
	for range n {
		select {
		case <-life.Done():
			return first(group.Wait(), context.Cause(life))
		case <-ticker.C:
		}
		at := int64(time.Since(began))
		group.Go(func() error { return s.Submit(life, at) }) // Wait waits for it
	}
	return group.Wait()
}
