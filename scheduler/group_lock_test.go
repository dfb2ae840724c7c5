package scheduler

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Of calls that wait for one lock only the first waits, alone, and beside it others come and go.
func TestOneWaitsForALock(t *testing.T) {
	t.Parallel()
	held, waits := make(chan struct{}), make(chan struct{}, 100)
	var g group[string, string]
	g.size, g.lock = func(string) int { return 0 }, func(in string) string { return in[:1] }
	g.run = func(_ context.Context, in []string) ([]answer[string], error) {
		answers := make([]answer[string], len(in))
		for i, what := range in {
			if what[0] == 'x' {
				if len(in) == 1 {
					waits <- struct{}{}
					<-held
				}
				return nil, &pgconn.PgError{Code: "55P03"}
			}
			answers[i].out = what
		}
		return answers, nil
	}
	var callers sync.WaitGroup
	calls := make([]call[string, string], 0, 50)
	for i := range 50 {
		in, locked := "x", i%2 == 0
		if !locked {
			in = string(rune('A' + i%20))
		}
		callers.Add(1)
		calls = append(calls, call[string, string]{in: in, done: func(a answer[string]) {
			defer callers.Done()
			if locked != blocked(a.err) || !locked && a.out != in {
				t.Errorf("%s was answered %+v", in, a)
			}
		}})
	}
	g.serve(calls)
	<-waits
	for range 10 { // while one waits
		if out, err := g.do(t.Context(), "y"); out != "y" || err != nil {
			t.Errorf("%s, %v", out, err)
		}
	}
	close(held)
	callers.Wait()
	g.close()
	if n := len(waits); n != 0 {
		t.Errorf("%d more waited", n)
	}
}

// What nobody waits for any more is not begun.
func TestCallsOfThoseWhoAreGoneDoNotTravel(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var ran []string
	began, hang := make(chan struct{}, groupFlights), make(chan struct{})
	g := group[string, string]{size: func(string) int { return 0 }, run: func(_ context.Context, in []string) ([]answer[string], error) {
		mu.Lock()
		ran = append(ran, in...)
		mu.Unlock()
		select {
		case began <- struct{}{}:
		default:
		}
		<-hang
		return make([]answer[string], len(in)), nil
	}}
	var callers sync.WaitGroup
	for range groupFlights {
		callers.Go(func() {
			if _, err := g.do(t.Context(), "under way"); err != nil {
				t.Error(err)
			}
		})
		<-began
	}
	ctx, cancel := context.WithCancel(t.Context())
	var impatient sync.WaitGroup
	for range 1000 {
		impatient.Go(func() {
			if _, err := g.do(ctx, "gone"); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	answered := make(chan struct{})
	g.later("stays", func(answer[string]) { close(answered) })
	for g.queued() < 1001 {
		runtime.Gosched()
	}
	cancel()
	impatient.Wait()
	close(hang)
	<-answered
	callers.Wait()
	g.close()
	if slices.Sort(ran); !slices.Equal(ran, []string{"stays", "under way", "under way"}) {
		t.Errorf("ran %v", ran)
	}
}
