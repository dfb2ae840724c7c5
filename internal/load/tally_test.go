package load

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTallyReachesAGoalThatIsSetLate(t *testing.T) {
	t.Parallel()
	tally := NewTally()
	for range 5 {
		tally.Add()
	}
	if err := tally.Reach(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
}

func TestTallyReachesAGoalUnderWay(t *testing.T) {
	t.Parallel()
	tally := NewTally()
	var adding sync.WaitGroup
	for range 8 {
		adding.Go(func() {
			for range 1000 {
				tally.Add()
			}
		})
	}
	if err := tally.Reach(t.Context(), 8000); err != nil {
		t.Fatal(err)
	}
	adding.Wait()
	if n := tally.Count(); n != 8000 {
		t.Errorf("counted %d", n)
	}
}

func TestTallyStopsWaitingForTheCause(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the worker ended")
	cancel(cause)
	tally := NewTally()
	tally.Add()
	err := tally.Reach(ctx, 2)
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("got %v", err)
	}
}

func TestTallySlices(t *testing.T) {
	t.Parallel()
	tally := NewTally()
	tally.sliced(105, 10)
	for range 105 {
		tally.Add()
	}
	rates := tally.slices()
	if len(rates) != 10 {
		t.Fatalf("%d slices: %v", len(rates), rates)
	}
	for i, rate := range rates {
		if rate <= 0 {
			t.Errorf("slice %d: %v/s", i, rate)
		}
	}
}

// stubborn is a subject with tasks that are not completed.
type stubborn struct {
	Subject
	left map[bool]int64
}

func (s *stubborn) Unfinished(_ context.Context, all bool) (int64, error) { return s.left[all], nil }

func TestVerifyFindsWhatIsNotCompleted(t *testing.T) {
	t.Parallel()
	tally := NewTally()
	tally.Add()
	tally.Add()
	var r Result
	if err := tally.Verify(t.Context(), &stubborn{left: map[bool]int64{true: 3}}, &r, 2); err == nil {
		t.Error("3 tasks that are not completed went unnoticed")
	}
	if err := tally.Verify(t.Context(), &stubborn{}, &r, 2); err != nil || len(r.Notes) != 0 {
		t.Errorf("all is well: %v, %v", err, r.Notes)
	}
	if err := tally.Verify(t.Context(), &stubborn{}, &r, 1); err != nil || len(r.Notes) != 1 {
		t.Errorf("a task ran twice: %v, %v", err, r.Notes)
	}
}

func TestFinishWaitsForStorage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	tally := NewTally()
	tally.Add()
	if err := tally.Finish(ctx, &stubborn{left: map[bool]int64{false: 1}}, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one task is not completed: %v", err)
	}
}
