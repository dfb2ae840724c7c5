package scheduler

import (
	"sync"
	"time"
)

// RemoteCounts is what remote workers did with the tasks of one queue and kind through this process, and endpoints with those that they
// had accepted. Attempts of theirs that it ended because their time was over are among them.
type RemoteCounts struct {
	Queue    Queue
	Kind     string
	Wait     Buckets           // from due to taken, nanoseconds
	Run      Buckets           // from taken to ended, nanoseconds
	Outcomes map[string]uint64 // completed, retried (failed, and runs again), failed (and its task gave up), cancelled, snoozed, released
}

// remoteCounts are kept by queue and kind; what comes when there are statsMost of them is counted as of remoteOther. Safe for
// concurrent use.
type remoteCounts struct {
	mu    sync.Mutex
	lanes map[tallied]*remoteLane
	lost  uint64
}

const remoteOther = "other"

type remoteLane struct {
	wait, run *Histogram
	outcomes  map[string]uint64
}

// remoteOutcome is how an attempt ended by a verb that made the task what it is.
func remoteOutcome(s Settling, state State) string {
	switch {
	case state == Cancelled:
		return "cancelled"
	case s.Verb == VerbComplete:
		return "completed"
	case s.Verb == VerbRelease && s.Delay > 0:
		return "snoozed"
	case s.Verb == VerbRelease:
		return "released"
	case state == Failed:
		return "failed"
	}
	return "retried"
}

// begin counts how long the tasks waited that a worker gets now.
func (r *remoteCounts) begin(tasks []LeasedTask, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, task := range tasks {
		r.lane(task.Queue, task.Kind).wait.Observe(int64(max(0, now.Sub(task.RunAt))))
	}
}

// end counts an attempt.
func (r *remoteCounts) end(queue Queue, kind, outcome string, ran time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lane := r.lane(queue, kind)
	lane.outcomes[outcome]++
	lane.run.Observe(int64(max(0, ran)))
}

// lane finds what is counted of a queue and kind. r.mu is held.
func (r *remoteCounts) lane(queue Queue, kind string) *remoteLane {
	key := tallied{queue, kind}
	if r.lanes[key] == nil && len(r.lanes) >= statsMost {
		key = tallied{remoteOther, remoteOther}
	}
	its := r.lanes[key]
	if its == nil {
		if r.lanes == nil {
			r.lanes = map[tallied]*remoteLane{}
		}
		its = &remoteLane{wait: NewDurations(), run: NewDurations(), outcomes: map[string]uint64{}}
		r.lanes[key] = its
	}
	return its
}

// lose counts attempts that had another end by then.
func (r *remoteCounts) lose(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += n
}

func (r *remoteCounts) read() (list []RemoteCounts, lost uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, lane := range r.lanes {
		its := RemoteCounts{Queue: key.queue, Kind: key.kind, Wait: lane.wait.Read(), Run: lane.run.Read(),
			Outcomes: map[string]uint64{"completed": 0, "retried": 0, "failed": 0, "cancelled": 0, "snoozed": 0, "released": 0}}
		for how, n := range lane.outcomes {
			its.Outcomes[how] = n
		}
		list = append(list, its)
	}
	return list, r.lost
}
