package metrics

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
	"github.com/pgscheduler/scheduler/worker/push"
)

// attempts collects how attempts went that this process has to do with: those of its worker, those that it delivers to endpoints, and those
// of remote workers.
type attempts struct {
	client *scheduler.Client
	worker *worker.Worker // nil: none
	pusher *push.Pusher   // nil: none
	queues labels
	kinds  labels
}

func (a *attempts) Describe(to chan<- *prometheus.Desc) { describe(to, ofAttempts) }

func (a *attempts) Collect(to chan<- prometheus.Metric) {
	counts := a.client.Counts()
	lanes, lost := remote(counts.Remote), counts.RemoteLost
	if a.worker != nil {
		its := a.worker.Counts()
		lanes, lost = append(lanes, its.Lanes...), lost+its.LostLeases
	}
	if a.pusher != nil {
		delivered, losses := a.pusher.Attempts()
		lanes, lost = append(lanes, delivered...), lost+losses
	}
	send := sender{to}
	send.count(leasesLost, float64(lost))
	for _, l := range a.merge(lanes) {
		queue := string(l.Queue)
		send.histogram(waitTime, l.Wait, nanoseconds, queue, l.Kind)
		send.histogram(runTime, l.Run, nanoseconds, queue, l.Kind)
		for how, n := range l.Outcomes {
			send.count(attemptsDone, float64(n), queue, l.Kind, string(how))
		}
	}
}

// remote are the counts of remote workers as those of a worker.
func remote(counts []scheduler.RemoteCounts) (lanes []worker.LaneCounts) {
	for _, c := range counts {
		l := worker.LaneCounts{Queue: c.Queue, Kind: c.Kind, Wait: c.Wait, Run: c.Run, Outcomes: map[worker.Outcome]uint64{}}
		for how, n := range c.Outcomes {
			l.Outcomes[worker.Outcome(how)] = n
		}
		lanes = append(lanes, l)
	}
	return lanes
}

// merge adds up the lanes that share their labels.
func (a *attempts) merge(lanes []worker.LaneCounts) []worker.LaneCounts {
	lanes = slices.Clone(lanes)
	for i := range lanes {
		lanes[i].Queue, lanes[i].Kind = scheduler.Queue(a.queues.admit(string(lanes[i].Queue))), a.kinds.admit(lanes[i].Kind)
	}
	return worker.AddLanes(nil, lanes)
}

// slotsOf collects what a worker has to do now.
type slotsOf struct{ worker *worker.Worker }

func (s slotsOf) Describe(to chan<- *prometheus.Desc) { describe(to, ofWorker) }

func (s slotsOf) Collect(to chan<- prometheus.Metric) {
	counts := s.worker.Counts()
	send := sender{to}
	send.gauge(slots, float64(counts.Slots))
	send.gauge(running, float64(counts.Running))
	send.gauge(settling, float64(counts.Settling))
	send.count(deaths, float64(counts.LostSessions))
}

const (
	labelsMost = 200     // values of one label
	labelOther = "other" // stands for all further ones
)

// labels bounds the values of a label: the first that come stay for good, so that no counter ever falls. The zero value is
// empty. Safe for concurrent use.
type labels struct {
	mu   sync.Mutex
	seen map[string]bool
}

// admit returns the value, or labelOther when there are too many.
func (l *labels) admit(value string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.seen[value]:
		return value
	case len(l.seen) >= labelsMost:
		return labelOther
	case l.seen == nil:
		l.seen = map[string]bool{}
	}
	l.seen[value] = true
	return value
}
