package push

import (
	"context"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// waitsEvery is how often attempts that were accepted by 202 are looked at, all of the process in one statement.
const waitsEvery = 250 * time.Millisecond

// waits knows the attempts that somebody else is to end. The zero value waits for none. Safe for concurrent use.
type waits struct {
	mu   sync.Mutex
	list map[scheduler.Lease]chan struct{}
	some chan struct{} // closed when the list is not empty; nil: nobody waits for that
}

// ended returns a channel that is closed when the attempt was ended by somebody else, and what forgets it.
func (w *waits) ended(lease scheduler.Lease) (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = map[scheduler.Lease]chan struct{}{}
	}
	ended := make(chan struct{})
	w.list[lease] = ended
	if w.some != nil {
		close(w.some)
		w.some = nil
	}
	return ended, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.list, lease)
	}
}

// next returns the attempts, or a channel that is closed when there are any.
func (w *waits) next() (list []scheduler.Lease, some <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for lease := range w.list {
		list = append(list, lease)
	}
	if list == nil && w.some == nil {
		w.some = make(chan struct{})
	}
	return list, w.some
}

func (w *waits) tell(lease scheduler.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ended := w.list[lease]; ended != nil {
		close(ended)
		delete(w.list, lease)
	}
}

// run looks at the attempts until ctx ends.
func (w *waits) run(ctx context.Context, client *scheduler.Client) {
	tick := time.NewTicker(waitsEvery)
	defer tick.Stop()
	for {
		list, some := w.next()
		if list == nil {
			select {
			case <-ctx.Done():
				return
			case <-some:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		places, err := client.EndedElsewhere(ctx, list)
		if err != nil {
			continue // the heartbeats say that the database is away
		}
		for _, i := range places {
			w.tell(list[i])
		}
	}
}
