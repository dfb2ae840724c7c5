package load

import "context"

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
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return err
	}
	goal := int64(r.Tasks)
	defer r.Watch("work", goal, tally.Count)()
	stop, err := s.Work(ctx, func(int64) { tally.Add() })
	if err != nil {
		return err
	}
	finished := tally.Finish(ctx, s, goal)
	usage, err := r.Gauge.End(ctx, span)
	if err := first(finished, stop(), err); err != nil {
		return err
	}
	out.Rate(goal, usage.Took)
	out.PerTask(usage)
	if err := tally.Verify(ctx, s, out, goal); err != nil {
		return err
	}
	s.Close()
	out.HOT, err = r.Gauge.HOT(ctx, usage)
	return err
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
