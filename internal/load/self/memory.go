package self

import (
	"context"
	"errors"

	"github.com/pgscheduler/scheduler/internal/load"
)

// memory measures a worker process with 1,000 slots: while all of them are taken by tasks that wait (case busy), and after
// it has worked off Tasks more (worked).
func (s *Stage) memory(ctx context.Context, r *load.Run, emit load.Emit) error {
	load.Default(&r.Tasks, 20_000)
	load.Default(&r.Slots, 1000)
	its, err := s.subject(ctx, r.Setup())
	if err != nil {
		return err
	}
	defer its.Close()
	if _, err := r.Fill(ctx, its, r.Slots+r.Tasks, r.Payload); err != nil {
		return err
	}
	workers, err := s.startGang(ctx, 1, order{Slots: r.Slots, Hold: true})
	if err != nil {
		return err
	}
	busy, worked, err := fillSlots(ctx, r, workers)
	_, stopped := workers.stop(ctx)
	if err := errors.Join(err, stopped); err != nil {
		return err
	}
	if err := emit(sized(r, "busy", int64(r.Slots), busy)); err != nil {
		return err
	}
	return emit(sized(r, "worked", int64(r.Slots+r.Tasks), worked))
}

// fillSlots has the one worker take a task for each slot, then work everything off.
func fillSlots(ctx context.Context, r *load.Run, workers gang) (busy, worked message, err error) {
	started := func() int64 { n, _ := workers.count(); return n }
	handled := func() int64 { _, n := workers.count(); return n }
	defer r.Watch("work", int64(r.Slots+r.Tasks), handled)()
	if err := workers.do("go"); err != nil {
		return busy, worked, err
	}
	if err := workers.reach(ctx, int64(r.Slots), started); err != nil {
		return busy, worked, err
	}
	if busy, err = workers[0].ask(ctx); err != nil {
		return busy, worked, err
	}
	if err := workers.do("release"); err != nil {
		return busy, worked, err
	}
	if err := workers.reach(ctx, int64(r.Slots+r.Tasks), handled); err != nil {
		return busy, worked, err
	}
	worked, err = workers[0].ask(ctx)
	return busy, worked, err
}

func sized(r *load.Run, name string, tasks int64, m message) load.Result {
	out := load.Result{Workload: r.Name, Case: name, Tasks: tasks}
	if m.RSS == 0 {
		out.Note("only Linux tells how much memory a process uses")
		return out
	}
	out.RSS, out.PeakRSS = load.Figure(float64(m.RSS)/1e6), load.Figure(float64(m.Peak)/1e6)
	return out
}
