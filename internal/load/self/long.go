package self

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/internal/load"
)

// long measures what Tasks cost that do nothing but run, all at once, for Window: heartbeats.
func (s *Stage) long(ctx context.Context, r *load.Run, emit load.Emit) error {
	load.Default(&r.Tasks, 10_000)
	load.Default(&r.Slots, r.Tasks)
	load.Default(&r.Window, time.Minute)
	its, err := s.subject(ctx, r.Setup())
	if err != nil {
		return err
	}
	defer its.Close()
	if _, err := r.Fill(ctx, its, r.Tasks, r.Payload); err != nil {
		return err
	}
	started, handled, over := load.NewTally(), load.NewTally(), make(chan struct{})
	release := sync.OnceFunc(func() { close(over) })
	defer release()
	stop, err := its.Work(ctx, func(int64) {
		started.Add()
		<-over
		handled.Add()
	})
	if err != nil {
		return err
	}
	stopWatch := r.Watch("start", int64(r.Tasks), started.Count)
	err = started.Reach(ctx, int64(r.Tasks))
	stopWatch()
	var usage load.Usage
	if err == nil {
		usage, err = r.Quiet(ctx, "run")
	}
	release()
	if err == nil {
		err = handled.Finish(ctx, its, int64(r.Tasks))
	}
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	out := load.Result{Workload: r.Name, Tasks: int64(r.Tasks)}
	out.PerTime(usage)
	return emit(out)
}
