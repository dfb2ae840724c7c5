package worker

import (
	"slices"
	"sync"

	"github.com/pgscheduler/scheduler/scheduler"
)

// lanes decides which queues to ask for how many tasks. Safe for concurrent use.
type lanes struct {
	mu   sync.Mutex
	list []*lane
}

type lane struct {
	queue  scheduler.Queue
	weight int
	credit int  // of the smooth weighted round robin
	wanted bool // may have ready tasks
	paused bool
}

func newLanes(shares []Share) *lanes {
	l := &lanes{}
	for _, s := range shares {
		l.list = append(l.list, &lane{queue: s.Queue, weight: s.Weight, wanted: true})
	}
	return l
}

// want notes that the queue may have ready tasks. It reports whether the queue is one of ours.
func (l *lanes) want(queue scheduler.Queue) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.list {
		if lane.queue == queue {
			lane.wanted = true
			return true
		}
	}
	return false
}

func (l *lanes) wantAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range l.list {
		lane.wanted = true
	}
}

// pause sets which queues are paused; the lease statement refuses those anyway. A queue that is no longer paused is wanted.
func (l *lanes) pause(queues []scheduler.Queue) (resumed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	paused := map[scheduler.Queue]bool{}
	for _, queue := range queues {
		paused[queue] = true
	}
	for _, lane := range l.list {
		if lane.paused && !paused[lane.queue] {
			lane.wanted, resumed = true, true
		}
		lane.paused = paused[lane.queue]
	}
	return resumed
}

// wants reports whether any queue may have ready tasks.
func (l *lanes) wants() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.list, func(lane *lane) bool { return lane.wanted && !lane.paused })
}

// asks gives the free slots to the wanted queues by smooth weighted round robin (as nginx does for upstream servers) and
// marks those queues as not wanted until somebody says otherwise.
func (l *lanes) asks(free int) []scheduler.Ask {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wanted []*lane
	total := 0
	for _, lane := range l.list {
		if lane.wanted && !lane.paused {
			wanted = append(wanted, lane)
			total += lane.weight
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	given := make([]int, len(wanted))
	for range free {
		best := 0
		for i, lane := range wanted {
			lane.credit += lane.weight
			if lane.credit > wanted[best].credit {
				best = i
			}
		}
		wanted[best].credit -= total
		given[best]++
	}
	var asks []scheduler.Ask
	for i, lane := range wanted {
		if given[i] > 0 {
			lane.wanted = false
			asks = append(asks, scheduler.Ask{Queue: lane.queue, Limit: given[i]})
		}
	}
	return asks
}
