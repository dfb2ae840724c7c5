package load

import (
	"context"
	"time"
)

const (
	e2eBatch = 1000   // tasks inserted by one call
	e2eAhead = 20_000 // tasks inserted and not run yet, at most
)

// e2e inserts and works at once, from a database that never was analyzed (case cold) and from one that was (analyzed).
func e2e(ctx context.Context, r *Run, emit Emit) error {
	Default(&r.Window, 20*time.Second)
	setup := r.Setup()
	for _, name := range []string{"cold", "analyzed"} {
		s, err := r.Open(ctx, setup)
		if err != nil {
			return err
		}
		err = r.stream(ctx, s, name, emit)
		s.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// stream inserts for Window while a worker works, and measures until all is completed.
func (r *Run) stream(ctx context.Context, s Subject, name string, emit Emit) error {
	if name == "analyzed" {
		if err := s.Analyze(ctx); err != nil {
			return err
		}
	}
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return err
	}
	tally := NewTally()
	stop, err := s.Work(ctx, func(int64) { tally.Add() })
	if err != nil {
		return err
	}
	stopWatch := r.Watch(name, 0, tally.Count)
	inserted, fed := r.feed(ctx, s, tally)
	finished := fed
	if fed == nil {
		finished = tally.Finish(ctx, s, inserted)
	}
	usage, err := r.Gauge.End(ctx, span)
	stopWatch()
	if err := first(finished, stop(), err); err != nil {
		return err
	}
	out := Result{Workload: r.Name, Case: name}
	out.Rate(inserted, usage.Took)
	out.PerTask(usage)
	if err := tally.Verify(ctx, s, &out, inserted); err != nil {
		return err
	}
	s.Close()
	if out.HOT, err = r.Gauge.HOT(ctx, usage); err != nil {
		return err
	}
	return emit(out)
}

// feed inserts batches for Window, never too far ahead of the worker, and returns how many tasks. With Tasks it ends at
// that many.
func (r *Run) feed(ctx context.Context, s Subject, tally *Tally) (int64, error) {
	var inserted int64
	for end := time.Now().Add(r.Window); time.Now().Before(end); {
		n := int64(e2eBatch)
		if r.Tasks > 0 {
			n = min(n, int64(r.Tasks)-inserted)
		}
		if n == 0 {
			break
		}
		if inserted-tally.Count() > e2eAhead-e2eBatch {
			if err := pause(ctx, time.Millisecond); err != nil {
				return inserted, err
			}
			continue
		}
		if err := s.Insert(ctx, int(n)); err != nil {
			return inserted, err
		}
		inserted += n
	}
	return inserted, nil
}
