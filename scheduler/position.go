package scheduler

import (
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

const (
	cheapWalk    = 5 * time.Millisecond  // a lease or a scout from the beginning that takes no longer costs nothing worth avoiding
	cheapPerTask = 15 * time.Microsecond // on top, for each task that a lease took
	scoutShare   = 20                    // scouts take one part in so many of the time,
	scoutLatest  = 10 * time.Second      // but what comes back or overtakes must not wait for longer than this;
	scoutFirst   = time.Second           // for the first: the lease may have been slow for reasons of its own
	walksMost    = 1000                  // queues and kinds remembered
)

// position is a place in the order of leasing: priority, due time, id.
type position struct {
	Priority int16
	RunAt    pgtype.Timestamptz
	ID       TaskID
}

// beginning is before every task.
var beginning = position{Priority: -32768, RunAt: pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}}

// positions remembers where the last lease of a queue ended. While somebody holds an old snapshot, the entries of finished
// tasks stay at the head of the index, and every lease from the beginning walks them all; so does one behind many tasks of
// kinds that the worker cannot run. Leases from the remembered position pass them by. What lies before it, late commits,
// higher priorities and retries, a scout looks for, beside the leases (scout.go). Safe for concurrent use.
type positions struct {
	mu    sync.Mutex
	walks map[way]*walk
	trip  time.Duration // the way to the database and back, at its shortest
}

// way is what a lease looks for.
type way struct {
	queue Queue
	kinds string // separated by zeros
}

func newWay(queue Queue, kinds []string) way { return way{queue, strings.Join(kinds, "\x00")} }

func (w way) list() []string { return strings.Split(w.kinds, "\x00") }

type walk struct {
	end      position  // of the last lease
	dear     bool      // to look from the beginning: that is left to scouts
	scout    time.Time // none starts before this
	scouting bool      // one is on its way, or waits to start
	size     int       // how many tasks the last lease took
}

// from returns where to start looking.
func (p *positions) from(w way) position {
	p.mu.Lock()
	defer p.mu.Unlock()
	if its := p.walks[w]; its != nil && its.dear {
		return its.end
	}
	return beginning
}

// size returns how many tasks the last lease took.
func (p *positions) size(w way) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if its := p.walks[w]; its != nil {
		return its.size
	}
	return 0
}

// leased takes in that a lease from start took so long and ended at end, of the last of n tasks. lost: it was a long walk for
// nothing, and the next one from the same place would be another.
func (p *positions) leased(w way, start, end position, n int, now time.Time, took time.Duration) (lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.walks == nil || p.walks[w] == nil && len(p.walks) >= walksMost {
		p.walks = map[way]*walk{}
	}
	its := p.walks[w]
	if its == nil {
		its = &walk{end: beginning}
		p.walks[w] = its
	}
	its.size = n
	if n > 0 {
		its.end = end
	}
	long := p.pastTrip(took) > cheapWalk+time.Duration(n)*cheapPerTask
	if start == beginning {
		its.dear = long
		if long {
			its.scout = now.Add(min((scoutShare-1)*took, scoutFirst))
		}
	}
	return long && n == 0
}

// pastTrip returns what is left of the time that a walk took without the way there and back. p.mu is held.
func (p *positions) pastTrip(took time.Duration) time.Duration {
	p.trip = min(p.trip, took)
	return took - p.trip
}

// skip moves the end after a long walk for nothing.
func (p *positions) skip(w way, end position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if its := p.walks[w]; its != nil {
		its.end = end
	}
}

// sendScout returns how long the next scout has to wait. ok: it is the caller's to send.
func (p *positions) sendScout(w way, now time.Time) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	its := p.walks[w]
	if its == nil || !its.dear || its.scouting {
		return 0, false
	}
	its.scouting = true
	return max(0, its.scout.Sub(now)), true
}

// scouted takes in what a scout that took so long has found: the first ready task before the end, or none. It reports whether
// a lease should look now.
func (p *positions) scouted(w way, found []position, now time.Time, took time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	its := p.walks[w]
	if its == nil {
		return false
	}
	its.scouting, its.dear = false, p.pastTrip(took) > cheapWalk
	its.scout = now.Add(min((scoutShare-1)*took, scoutLatest))
	if len(found) > 0 {
		its.end = found[0]
	}
	return len(found) > 0
}
