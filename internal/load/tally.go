package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Tally counts handlers.
type Tally struct {
	n       atomic.Int64
	goal    atomic.Int64
	reached chan struct{}

	slice int64          // 0: not looked at
	ends  []atomic.Int64 // when each slice was full, nanoseconds since began
	began time.Time
}

// NewTally returns a Tally at 0.
func NewTally() *Tally { return &Tally{reached: make(chan struct{}, 1)} }

// sliced also notes when each part of the total was full. Call it right before the work begins.
func (t *Tally) sliced(total, parts int64) {
	t.slice = max(1, total/parts)
	t.ends = make([]atomic.Int64, total/t.slice)
	t.began = time.Now()
}

// Add counts one.
func (t *Tally) Add() {
	n := t.n.Add(1)
	if t.slice > 0 && n%t.slice == 0 && int(n/t.slice) <= len(t.ends) {
		t.ends[n/t.slice-1].Store(int64(time.Since(t.began)))
	}
	if n == t.goal.Load() {
		select {
		case t.reached <- struct{}{}:
		default:
		}
	}
}

// Count returns how many were counted.
func (t *Tally) Count() int64 { return t.n.Load() }

// slices returns the rate of each part that was full.
func (t *Tally) slices() (rates []float64) {
	var before time.Duration
	for i := range t.ends {
		end := time.Duration(t.ends[i].Load())
		if end == 0 {
			break
		}
		rates = append(rates, Round(float64(t.slice)/(end-before).Seconds()))
		before = end
	}
	return rates
}

// Reach waits until as many as goal were counted.
func (t *Tally) Reach(ctx context.Context, goal int64) error {
	t.goal.Store(goal)
	look := time.NewTicker(100 * time.Millisecond) // the last may have been counted before goal was set
	defer look.Stop()
	for t.n.Load() < goal {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d tasks had run: %w", t.n.Load(), goal, context.Cause(ctx))
		case <-t.reached:
		case <-look.C:
		}
	}
	return nil
}

// Finish waits until as many as goal were counted and storage shows no task that is not completed.
func (t *Tally) Finish(ctx context.Context, s Subject, goal int64) error {
	if err := t.Reach(ctx, goal); err != nil {
		return err
	}
	return Completed(ctx, s)
}

// Completed waits until storage shows no task that is not completed, by the cheap count.
func Completed(ctx context.Context, s Subject) error {
	for {
		left, err := s.Unfinished(ctx, false)
		if err != nil || left == 0 {
			return err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%d tasks are not completed: %w", left, err)
		}
	}
}

// Verify looks at all tasks once the clock has stopped, and notes those that ran more than once.
func (t *Tally) Verify(ctx context.Context, s Subject, r *Result, goal int64) error {
	left, err := s.Unfinished(ctx, true)
	if err != nil {
		return err
	}
	if left != 0 {
		return fmt.Errorf("%d of %d tasks are not completed", left, goal)
	}
	if n := t.Count(); n != goal {
		r.Note(fmt.Sprintf("handlers were called %d times for %d tasks", n, goal))
	}
	return nil
}
