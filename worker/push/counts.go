package push

import (
	"sync"
	"sync/atomic"

	"github.com/pgscheduler/scheduler/worker"
)

// Outcome is what came of a delivery.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered" // the task is done
	Accepted  Outcome = "accepted"  // 202: the endpoint will end it
	Later     Outcome = "later"     // 429 or 503 with Retry-After
	Refused   Outcome = "refused"   // for good
	Failed    Outcome = "failed"    // no answer, or one that says to try again
)

var outcomes = [...]Outcome{Delivered, Accepted, Later, Refused, Failed}

func outcomeOf(a *answer, err error) Outcome {
	_, later := a.retryAfter()
	switch {
	case err == nil:
		return Delivered
	case worker.IsPermanent(err):
		return Refused
	case later && (a.status == 429 || a.status == 503):
		return Later
	}
	return Failed
}

// tallies counts deliveries by endpoint. The zero value has counted none. Safe for concurrent use.
type tallies struct {
	mu   sync.Mutex
	list map[string]*tally
}

type tally struct{ counts [len(outcomes)]atomic.Uint64 }

func (t *tallies) of(endpoint string) *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list == nil {
		t.list = map[string]*tally{}
	}
	if t.list[endpoint] == nil {
		t.list[endpoint] = &tally{}
	}
	return t.list[endpoint]
}

func (t *tally) add(what Outcome) {
	for i := range outcomes {
		if outcomes[i] == what {
			t.counts[i].Add(1)
		}
	}
}

// Counts returns how many deliveries of this process came to what, by endpoint. Cheap. Safe to call from any goroutine.
func (p *Pusher) Counts() map[string]map[Outcome]uint64 {
	p.tallies.mu.Lock()
	defer p.tallies.mu.Unlock()
	counts := map[string]map[Outcome]uint64{}
	for name, t := range p.tallies.list {
		counts[name] = map[Outcome]uint64{}
		for i, what := range outcomes {
			counts[name][what] = t.counts[i].Load()
		}
	}
	return counts
}
