package load

import (
	"context"
	"fmt"
	"time"
)

// drain stores tasks, then works until all are completed: cases insert and work.
func drain(ctx context.Context, r *Run, emit Emit) error {
	Default(&r.Tasks, 100_000)
	s, err := r.Open(ctx, r.Setup())
	if err != nil {
		return err
	}
	defer s.Close()
	return r.drain(ctx, s, "insert", "work", emit)
}

// drain fills the subject with Tasks of Payload and works them off.
func (r *Run) drain(ctx context.Context, s Subject, insertCase, workCase string, emit Emit) error {
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return err
	}
	took, err := r.Fill(ctx, s, r.Tasks, r.Payload)
	if err != nil {
		return err
	}
	usage, err := r.Gauge.End(ctx, span)
	if err != nil {
		return err
	}
	inserted := Result{Workload: r.Name, Case: insertCase}
	inserted.Rate(int64(r.Tasks), took)
	inserted.PerTask(usage)
	if err := emit(inserted); err != nil {
		return err
	}
	worked := Result{Workload: r.Name, Case: workCase}
	if err := r.workOff(ctx, s, &worked, NewTally()); err != nil {
		return err
	}
	return emit(worked)
}

// workOff works until all of Tasks are completed, then closes the subject, and measures that.
func (r *Run) workOff(ctx context.Context, s Subject, out *Result, tally *Tally) error {
	ended, err := r.workAtMost(ctx, Most, s, out, tally)
	if err == nil && !ended {
		err = context.DeadlineExceeded
	}
	return err
}

// workAtMost is workOff that ends after so long in any case; what was done by then is measured.
func (r *Run) workAtMost(ctx context.Context, most time.Duration, s Subject, out *Result, tally *Tally) (ended bool, err error) {
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return false, err
	}
	goal := int64(r.Tasks)
	defer r.Watch("work", goal, tally.Count)()
	stop, err := s.Work(ctx, func(int64) { tally.Add() })
	if err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, most)
	finished := tally.Finish(limited, s, goal)
	ended = limited.Err() == nil || ctx.Err() != nil
	cancel()
	done := goal
	if !ended {
		finished, done = nil, tally.Count()
	}
	usage, err := r.Gauge.End(ctx, span)
	if err := first(finished, stop(), err); err != nil {
		return ended, err
	}
	out.Rate(done, usage.Took)
	out.PerTask(usage)
	if !ended {
		out.Note(fmt.Sprintf("stopped after %v: %d of %d tasks", most, done, goal))
		return false, nil
	}
	if err := tally.Verify(ctx, s, out, goal); err != nil {
		return true, err
	}
	s.Close()
	out.HOT, err = r.Gauge.HOT(ctx, usage)
	return true, err
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
