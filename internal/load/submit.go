package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// submit stores tasks one by one, durably, with so many clients at once: a case each.
func submit(ctx context.Context, r *Run, emit Emit) error {
	Default(&r.Window, 5*time.Second)
	if len(r.Clients) == 0 {
		r.Clients = []int{1, 8, 32, 128}
	}
	for _, clients := range r.Clients {
		setup := r.Setup()
		setup.Clients = clients
		s, err := r.Open(ctx, setup)
		if err != nil {
			return err
		}
		err = r.submitBy(ctx, s, clients, emit)
		s.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// submitBy has the clients submit for Window, or until Tasks are stored.
func (r *Run) submitBy(ctx context.Context, s Subject, clients int, emit Emit) error {
	if err := s.Submit(ctx, 0); err != nil { // connects and prepares; not measured
		return err
	}
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return err
	}
	out := Result{Workload: r.Name, Case: fmt.Sprintf("clients=%d", clients)}
	var begun, stored atomic.Int64
	stopWatch := r.Watch(out.Case, int64(r.Tasks), stored.Load)
	took := make([][]time.Duration, clients)
	group, life := errgroup.WithContext(ctx)
	for i := range clients {
		group.Go(func() error { // until the end of Window; Wait waits for it
			for time.Since(span.at) < r.Window {
				if n := begun.Add(1); r.Tasks > 0 && n > int64(r.Tasks) {
					return nil
				}
				began := time.Now()
				if err := s.Submit(life, 0); err != nil {
					return err
				}
				took[i] = append(took[i], time.Since(began))
				stored.Add(1)
			}
			return nil
		})
	}
	submitted := group.Wait()
	usage, err := r.Gauge.End(ctx, span)
	stopWatch()
	if err := first(submitted, err); err != nil {
		return err
	}
	out.Rate(stored.Load(), usage.Took)
	out.PerTask(usage)
	var calls []time.Duration
	for _, list := range took {
		calls = append(calls, list...)
	}
	out.Percentiles(calls)
	return emit(out)
}
