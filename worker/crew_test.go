package worker

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Those that wait must not keep others from running: all run at once.
func TestCrewRunsAllAtOnce(t *testing.T) {
	t.Parallel()
	const n = 1000
	var together sync.WaitGroup
	together.Add(n)
	ended := make(chan struct{}, n)
	c := crew{run: func(*attempt) { together.Done(); together.Wait(); ended <- struct{}{} }}
	defer c.close()
	for range 4 {
		c.start(attempts(0, n/4))
	}
	for range n {
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Fatal("some never ran")
		}
	}
}

// Each runs once, whoever runs it.
func TestCrewRunsEachOnce(t *testing.T) {
	t.Parallel()
	const n = 10_000
	var ended sync.WaitGroup
	ended.Add(n)
	var runs [n]atomic.Int32
	c := crew{run: func(a *attempt) { runs[a.lines].Add(1); ended.Done() }}
	defer c.close()
	for i := 0; i < n; i += 10 {
		c.start(attempts(i, i+10))
	}
	ended.Wait()
	for i := range runs {
		if got := runs[i].Load(); got != 1 {
			t.Fatalf("attempt %d ran %d times", i, got)
		}
	}
}

func attempts(from, to int) (list []*attempt) {
	for i := from; i < to; i++ {
		list = append(list, &attempt{lines: i})
	}
	return list
}

// A handler that ends its goroutine takes none of the others with it.
func TestCrewOutlivesGoexit(t *testing.T) {
	t.Parallel()
	const n = 200
	var ended sync.WaitGroup
	ended.Add(n)
	c := crew{run: func(*attempt) { defer ended.Done(); runtime.Goexit() }}
	defer c.close()
	c.start(attempts(0, n))
	ended.Wait()
}

// The goroutines are kept, and all end with the crew.
func TestCrewKeepsItsGoroutinesUntilItCloses(t *testing.T) {
	before := runtime.NumGoroutine()
	c := crew{}
	const n = mostIdle
	for range 3 {
		var together sync.WaitGroup
		together.Add(n)
		c.run = func(*attempt) { together.Done(); together.Wait() }
		c.start(attempts(0, n))
		together.Wait()
		waitFor(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.idle) == n })
		waitFor(t, func() bool { return runtime.NumGoroutine() <= before+n }) // those of the round before were taken again
	}
	c.close()
	waitFor(t, func() bool { return runtime.NumGoroutine() <= before })
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("never happened")
		}
	}
}
