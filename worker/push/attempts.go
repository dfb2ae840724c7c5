package push

import (
	"sync"

	"github.com/pgscheduler/scheduler/worker"
)

// attempts remembers what workers did that have ended: lines come and go, counters only grow. The zero value has seen none. Safe for
// concurrent use.
type attempts struct {
	mu   sync.Mutex
	live map[*worker.Worker]bool
	past []worker.LaneCounts // of those that have ended, by queue and kind
	lost uint64
}

func (a *attempts) begin(w *worker.Worker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live == nil {
		a.live = map[*worker.Worker]bool{}
	}
	a.live[w] = true
}

func (a *attempts) end(w *worker.Worker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := w.Counts()
	delete(a.live, w)
	a.past, a.lost = worker.AddLanes(a.past, counts.Lanes), a.lost+counts.LostLeases
}

// Attempts returns how attempts ended that this process delivered, and how many of them could write no outcome, because the lease was
// lost. One that was accepted by 202 ended Elsewhere. Cheap. Safe to call from any goroutine.
func (p *Pusher) Attempts() (lanes []worker.LaneCounts, lost uint64) {
	a := &p.attempts
	a.mu.Lock()
	defer a.mu.Unlock()
	lanes, lost = worker.AddLanes(nil, a.past), a.lost
	for w := range a.live {
		counts := w.Counts()
		lanes, lost = worker.AddLanes(lanes, counts.Lanes), lost+counts.LostLeases
	}
	return lanes, lost
}
