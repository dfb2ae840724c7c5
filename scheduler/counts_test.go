package scheduler_test

import (
	"context"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

func TestCountsOfWhatIsDue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.client.Submit(r.ctx, scheduler.NewTask{Kind: "k", Delay: 10 * time.Millisecond})
	must(t, err)
	_, err = r.client.SetSchedule(r.ctx, scheduler.NewSchedule{Name: "s", Expression: "@every 1s", Kind: "k"})
	must(t, err)
	ctx, stop := context.WithCancel(r.ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = r.client.Maintain(ctx) }() // always nil
	defer func() { stop(); <-ended }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		n := r.client.Counts()
		if n.Promotions == 1 && n.Fires >= 1 && n.FireLag.Sum > 0 && n.Groups["submit"].Counts[0] == 1 {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%+v", n)
		case <-tick.C:
		}
	}
}
