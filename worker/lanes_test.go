package worker

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
)

// limits is what asks gave to each queue.
func limits(asks []scheduler.Ask) map[scheduler.Queue]int {
	given := map[scheduler.Queue]int{}
	for _, ask := range asks {
		given[ask.Queue] += ask.Limit
	}
	return given
}

func TestLanesGiveSlotsByWeight(t *testing.T) {
	t.Parallel()
	l := newLanes([]Share{{"a", 5}, {"b", 1}, {"c", 1}})
	if diff := cmp.Diff(map[scheduler.Queue]int{"a": 50, "b": 10, "c": 10}, limits(l.asks(70))); diff != "" {
		t.Error(diff)
	}
	if asks := l.asks(70); asks != nil {
		t.Errorf("nobody wants anything, and gets %v", asks)
	}
	l.want("c")
	if diff := cmp.Diff(map[scheduler.Queue]int{"c": 7}, limits(l.asks(7))); diff != "" {
		t.Error(diff)
	}
	if l.want("d") {
		t.Error("a foreign queue is wanted")
	}
}

func TestLanesKeepTheShareOfSingleSlots(t *testing.T) {
	t.Parallel()
	l := newLanes([]Share{{"a", 2}, {"b", 1}})
	given := map[scheduler.Queue]int{}
	for range 300 {
		for _, ask := range l.asks(1) {
			given[ask.Queue] += ask.Limit
		}
		l.wantAll()
	}
	if diff := cmp.Diff(map[scheduler.Queue]int{"a": 200, "b": 100}, given); diff != "" {
		t.Error(diff)
	}
}

func TestLanesLeaveOutPausedQueues(t *testing.T) {
	t.Parallel()
	l := newLanes([]Share{{"a", 1}, {"b", 1}})
	if l.pause([]scheduler.Queue{"a"}) {
		t.Error("a pause counts as a resume")
	}
	if diff := cmp.Diff(map[scheduler.Queue]int{"b": 4}, limits(l.asks(4))); diff != "" {
		t.Error(diff)
	}
	if !l.pause(nil) {
		t.Error("a resume was not noticed")
	}
	if diff := cmp.Diff(map[scheduler.Queue]int{"a": 4}, limits(l.asks(4))); diff != "" {
		t.Error(diff)
	}
}
