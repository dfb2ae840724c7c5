package self

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgscheduler/scheduler/internal/load"
)

// scale works off Tasks with 1, 2, 4 and 8 worker processes of 500 slots each: a case for each.
func (s *Stage) scale(ctx context.Context, r *load.Run, emit load.Emit) error {
	load.Default(&r.Tasks, 100_000)
	load.Default(&r.Slots, 500)
	for i, n := range []int{1, 2, 4, 8} {
		if i > 0 {
			if err := s.Reset(ctx); err != nil {
				return err
			}
		}
		out, err := s.scaleTo(ctx, r, n)
		if err != nil {
			return err
		}
		if err := emit(out); err != nil {
			return err
		}
	}
	return nil
}

// scaleTo works off Tasks with n processes. They start and connect before the clock does.
func (s *Stage) scaleTo(ctx context.Context, r *load.Run, n int) (out load.Result, err error) {
	out = load.Result{Workload: r.Name, Case: fmt.Sprintf("processes=%d", n)}
	its, err := s.subject(ctx, r.Setup())
	if err != nil {
		return out, err
	}
	defer its.Close()
	if _, err := r.Fill(ctx, its, r.Tasks, r.Payload); err != nil {
		return out, err
	}
	workers, err := s.startGang(ctx, n, order{Slots: r.Slots})
	if err != nil {
		return out, err
	}
	usage, worked := s.race(ctx, r, its, workers, out.Case)
	cpu, stopped := workers.stop(ctx)
	if err := errors.Join(worked, stopped); err != nil {
		return out, err
	}
	usage.Client = cpu
	out.Rate(int64(r.Tasks), usage.Took)
	out.PerTask(usage)
	switch left, err := its.Unfinished(ctx, true); {
	case err != nil:
		return out, err
	case left != 0:
		return out, fmt.Errorf("%d of %d tasks are not completed", left, r.Tasks)
	}
	its.Close()
	out.HOT, err = r.Gauge.HOT(ctx, usage)
	return out, err
}

// race lets the workers go, until all tasks are completed.
func (s *Stage) race(ctx context.Context, r *load.Run, its *subject, workers gang, name string) (load.Usage, error) {
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return load.Usage{}, err
	}
	handled := func() int64 { _, n := workers.count(); return n }
	defer r.Watch(name, int64(r.Tasks), handled)()
	if err := workers.do("go"); err != nil {
		return load.Usage{}, err
	}
	if err := workers.reach(ctx, int64(r.Tasks), handled); err != nil {
		return load.Usage{}, err
	}
	if err := load.Completed(ctx, its); err != nil {
		return load.Usage{}, err
	}
	return r.Gauge.End(ctx, span)
}
