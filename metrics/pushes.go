package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgscheduler/scheduler/worker/push"
)

// pushes collects what came of deliveries to endpoints.
type pushes struct {
	pusher *push.Pusher
	names  labels
}

func (p *pushes) Describe(to chan<- *prometheus.Desc) { describe(to, ofPusher) }

func (p *pushes) Collect(to chan<- prometheus.Metric) {
	sums := map[string]map[push.Outcome]uint64{}
	for name, counts := range p.pusher.Counts() {
		name = p.names.admit(name)
		if sums[name] == nil {
			sums[name] = map[push.Outcome]uint64{}
		}
		for what, n := range counts {
			sums[name][what] += n
		}
	}
	for name, counts := range sums {
		for what, n := range counts {
			sender{to}.count(deliveries, float64(n), name, string(what))
		}
	}
}
