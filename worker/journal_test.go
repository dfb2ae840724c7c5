package worker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Lines of two lives of a worker that come in turns are written by as many statements as those of one life after the other, and
// those of each attempt in order.
func TestLinesOfTwoLivesAreGathered(t *testing.T) {
	t.Parallel()
	lives := []scheduler.WorkerID{scheduler.NewWorkerID(), scheduler.NewWorkerID()}
	var lines []scheduler.Line
	var want []string
	for i := range journalBatch {
		want = append(want, fmt.Sprint(i))
		for _, life := range lives {
			lines = append(lines, scheduler.Line{Lease: scheduler.Lease{Worker: life}, Message: want[i]})
		}
	}
	j := &journal{lines: lines}
	lines = j.take(func(scheduler.Line) bool { return true })
	said := map[scheduler.WorkerID][]string{}
	for range lives {
		n := batchOf(lines)
		for _, l := range lines[:n] {
			said[l.Worker] = append(said[l.Worker], l.Message)
		}
		lines = lines[n:]
	}
	if len(lines) > 0 {
		t.Errorf("%d lines are left after %d statements", len(lines), len(lives))
	}
	for _, life := range lives {
		if !slices.Equal(said[life], want) {
			t.Errorf("%d lines, or out of order", len(said[life]))
		}
	}
}
