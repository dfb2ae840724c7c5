package metrics

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// attempts collects what the worker counts.
type attempts struct {
	worker *worker.Worker
	queues labels
	kinds  labels
}

func newAttempts(w *worker.Worker) *attempts { return &attempts{worker: w} }

func (a *attempts) Describe(to chan<- *prometheus.Desc) { describe(to, ofWorker) }

func (a *attempts) Collect(to chan<- prometheus.Metric) {
	counts := a.worker.Counts()
	send := sender{to}
	send.gauge(slots, float64(counts.Slots))
	send.gauge(running, float64(counts.Running))
	send.gauge(settling, float64(counts.Settling))
	send.count(leasesLost, float64(counts.LostLeases))
	send.count(deaths, float64(counts.LostSessions))
	for _, l := range a.merge(counts.Lanes) {
		queue := string(l.Queue)
		send.histogram(waitTime, l.Wait, nanoseconds, queue, l.Kind)
		send.histogram(runTime, l.Run, nanoseconds, queue, l.Kind)
		for how, n := range l.Outcomes {
			send.count(attemptsDone, float64(n), queue, l.Kind, string(how))
		}
	}
}

// merge adds up the lanes that share their labels.
func (a *attempts) merge(lanes []worker.LaneCounts) []worker.LaneCounts {
	var merged []worker.LaneCounts
	at := map[[2]string]int{}
	for _, l := range lanes {
		l.Queue, l.Kind = scheduler.Queue(a.queues.admit(string(l.Queue))), a.kinds.admit(l.Kind)
		key := [2]string{string(l.Queue), l.Kind}
		i, seen := at[key]
		if !seen {
			at[key] = len(merged)
			merged = append(merged, l)
			continue
		}
		sum := &merged[i]
		sum.Wait, sum.Run = add(sum.Wait, l.Wait), add(sum.Run, l.Run)
		for how, n := range l.Outcomes {
			sum.Outcomes[how] += n
		}
	}
	return merged
}

// add returns the sum of two Histograms with the same bounds.
func add(a, b scheduler.Buckets) scheduler.Buckets {
	sum := scheduler.Buckets{Bounds: a.Bounds, Counts: slices.Clone(a.Counts), Sum: a.Sum + b.Sum}
	for i, n := range b.Counts {
		sum.Counts[i] += n
	}
	return sum
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
