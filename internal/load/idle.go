package load

import (
	"context"
	"time"
)

// idle measures what a worker costs that has nothing to do.
func idle(ctx context.Context, r *Run, emit Emit) error {
	Default(&r.Slots, 10)
	Default(&r.Window, 30*time.Second)
	s, err := r.Open(ctx, r.Setup())
	if err != nil {
		return err
	}
	defer s.Close()
	stop, err := s.Work(ctx, func(int64) {})
	if err != nil {
		return err
	}
	usage, err := r.Quiet(ctx, "idle")
	if err := first(err, stop()); err != nil {
		return err
	}
	out := Result{Workload: r.Name}
	out.PerTime(usage)
	return emit(out)
}

// settling is how long PostgreSQL may take to count the transactions of a connection that has fallen silent, and a little.
const settling = 11 * time.Second

// Quiet measures what the database and this process do in Window by themselves.
func (r *Run) Quiet(ctx context.Context, phase string) (Usage, error) {
	began := time.Now()
	wait := min(settling, r.Window)
	defer r.Watch(phase, int64((wait + r.Window).Seconds()), func() int64 { return int64(time.Since(began).Seconds()) })()
	if err := pause(ctx, wait); err != nil {
		return Usage{}, err
	}
	span, err := r.Gauge.Begin(ctx)
	if err != nil {
		return Usage{}, err
	}
	if err := pause(ctx, r.Window); err != nil {
		return Usage{}, err
	}
	return r.Gauge.End(ctx, span)
}
