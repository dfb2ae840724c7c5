package scheduler_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Counts of several processes add up, and none is lost when they close. One that counted nothing writes nothing.
func TestStats(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		client := r.patient()
		for _, state := range []scheduler.State{scheduler.Completed, scheduler.Completed, scheduler.Failed, scheduler.Cancelled, scheduler.Scheduled, scheduler.Ready} {
			client.Count(scheduler.Ended{Queue: "q", Kind: "k", State: state, Ran: 100 * time.Millisecond, Waited: 10 * time.Millisecond})
		}
		client.Count(scheduler.Ended{Queue: "other", Kind: "k", State: scheduler.Completed, Waited: -time.Hour})
		client.Close()
	}
	idle := r.patient()
	idle.Close()
	for _, day := range []bool{false, true} {
		list, err := r.client.Stats(r.ctx, scheduler.StatsFilter{Day: day})
		must(t, err)
		sums := map[scheduler.Queue]scheduler.Stat{}
		for _, s := range list { // a minute may have ended meanwhile
			sum := sums[s.Queue]
			sum.Completed, sum.Failed, sum.Dead, sum.Cancelled = sum.Completed+s.Completed, sum.Failed+s.Failed, sum.Dead+s.Dead, sum.Cancelled+s.Cancelled
			sum.RunMS, sum.WaitMS = sum.RunMS+s.RunMS, sum.WaitMS+s.WaitMS
			sums[s.Queue] = sum
		}
		want := map[scheduler.Queue]scheduler.Stat{"q": {Completed: 6, Failed: 6, Dead: 3, Cancelled: 3, RunMS: 1800, WaitMS: 180}, "other": {Completed: 3}}
		if diff := cmp.Diff(want, sums); diff != "" {
			t.Errorf("day %v:\n%s", day, diff)
		}
	}
	if list, err := r.client.Stats(r.ctx, scheduler.StatsFilter{Queue: "q", Kind: "none"}); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
