package worker

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Counts is what a Worker did since it was made, and does now.
type Counts struct {
	Lanes        []LaneCounts // of queues and kinds of which there were tasks, in no order
	Slots        int
	Running      int    // handlers
	Settling     int    // attempts whose outcome is being written
	LostLeases   uint64 // attempts that could write no outcome, because others may have had the task by then
	LostSessions uint64 // times that it was declared dead and began anew
}

// LaneCounts is what a Worker did with the tasks of one queue and kind.
type LaneCounts struct {
	Queue    scheduler.Queue
	Kind     string
	Wait     scheduler.Buckets // from due to started, nanoseconds
	Run      scheduler.Buckets // of handlers, nanoseconds; not of those that returned ErrEndedElsewhere
	Outcomes map[Outcome]uint64
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	Completed Outcome = "completed"
	Retried   Outcome = "retried" // failed, and runs again
	Failed    Outcome = "failed"  // failed, and its task gave up
	Cancelled Outcome = "cancelled"
	Snoozed   Outcome = "snoozed"
	Released  Outcome = "released"  // handed back
	Lost      Outcome = "lost"      // its lease was lost, nothing was written
	Elsewhere Outcome = "elsewhere" // ended by another program, through its lease
)

var outcomes = [...]Outcome{Completed, Retried, Failed, Cancelled, Snoozed, Released, Lost, Elsewhere}

// counts are kept a lane. Safe for concurrent use.
type counts struct {
	mu       sync.Mutex
	lanes    map[laneKey]*laneCounts
	sessions atomic.Uint64
}

type laneKey struct {
	queue scheduler.Queue
	kind  string
}

type laneCounts struct {
	key       laneKey
	wait, run *scheduler.Histogram
	ended     [len(outcomes)]atomic.Uint64
}

// of returns the counts of a lane. What is leased together is mostly of one: last is what was returned before.
func (c *counts) of(queue scheduler.Queue, kind string, last *laneCounts) *laneCounts {
	key := laneKey{queue, kind}
	if last != nil && last.key == key {
		return last
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[key]
	if l == nil {
		l = &laneCounts{key: key, wait: scheduler.NewDurations(), run: scheduler.NewDurations()}
		if c.lanes == nil {
			c.lanes = map[laneKey]*laneCounts{}
		}
		c.lanes[key] = l
	}
	return l
}

func (l *laneCounts) end(how Outcome) {
	for i := range outcomes {
		if outcomes[i] == how {
			l.ended[i].Add(1)
			return
		}
	}
}

func (l *laneCounts) outcomes() map[Outcome]uint64 {
	list := map[Outcome]uint64{}
	for i, how := range outcomes {
		list[how] = l.ended[i].Load()
	}
	return list
}

// Counts returns what happened so far. Cheap. Safe to call from any goroutine, before, during and after Run.
func (w *Worker) Counts() Counts {
	list := Counts{Slots: w.slots, LostSessions: w.counts.sessions.Load()}
	w.mu.Lock()
	list.Running, list.Settling = w.running, w.open-w.running
	w.mu.Unlock()
	w.counts.mu.Lock()
	defer w.counts.mu.Unlock()
	for key, l := range w.counts.lanes {
		its := LaneCounts{Queue: key.queue, Kind: key.kind, Wait: l.wait.Read(), Run: l.run.Read(), Outcomes: l.outcomes()}
		list.LostLeases += its.Outcomes[Lost]
		list.Lanes = append(list.Lanes, its)
	}
	return list
}

// AddLanes adds lanes to others, those of the same queue and kind together, and returns all. What is given stays as it is.
func AddLanes(lanes, more []LaneCounts) []LaneCounts {
	sums := slices.Clone(lanes)
	at := map[laneKey]int{}
	for i, l := range sums {
		at[laneKey{l.Queue, l.Kind}] = i
	}
	for _, l := range more {
		key := laneKey{l.Queue, l.Kind}
		i, seen := at[key]
		if !seen {
			at[key] = len(sums)
			sums = append(sums, l)
			continue
		}
		its := &sums[i]
		its.Wait, its.Run, its.Outcomes = its.Wait.Add(l.Wait), its.Run.Add(l.Run), maps.Clone(its.Outcomes)
		for how, n := range l.Outcomes {
			its.Outcomes[how] += n
		}
	}
	return sums
}
