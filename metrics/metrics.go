package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
	"github.com/pgscheduler/scheduler/worker/push"
)

// Config says what is shown.
type Config struct {
	Client   *scheduler.Client // of the process; needed
	Worker   *worker.Worker    // of the process; nil: none
	Pusher   *push.Pusher      // of the process; nil: none
	Version  string            // of the program. "": unknown
	Revision string            // of its source. "": unknown
	Logger   *slog.Logger      // gets surveys that fail. nil: slog.Default()
}

const (
	surveyEvery  = 5 * time.Second  // at most
	surveyShare  = 20               // a survey takes one part in so many of the time,
	surveySeldom = 30 * time.Second // but comes at least so often, when somebody asks
	surveyWithin = 4 * time.Second  // less than Prometheus waits for, by default 10 s
	scrapesMost  = 10               // at once; more are refused
)

// New returns a handler that answers every request with the metrics, in the format that is asked for. Safe for concurrent
// use; the client must stay open for as long as it is used.
func New(config Config) http.Handler {
	return promhttp.HandlerFor(newRegistry(config), promhttp.HandlerOpts{MaxRequestsInFlight: scrapesMost, ErrorHandling: promhttp.ContinueOnError})
}

func newRegistry(config Config) *prometheus.Registry {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		process{config.Client, config.Version, config.Revision}, newSurveys(config),
		&attempts{client: config.Client, worker: config.Worker, pusher: config.Pusher})
	if config.Worker != nil {
		registry.MustRegister(slotsOf{config.Worker})
	}
	if config.Pusher != nil {
		registry.MustRegister(&pushes{pusher: config.Pusher})
	}
	return registry
}

// process collects what the client counts.
type process struct {
	client            *scheduler.Client
	version, revision string
}

func (p process) Describe(to chan<- *prometheus.Desc) { describe(to, ofProcess) }

func (p process) Collect(to chan<- prometheus.Metric) {
	counts := p.client.Counts()
	send := sender{to}
	send.gauge(buildInfo, 1, p.version, p.revision, runtime.Version(), strconv.Itoa(scheduler.SchemaVersion))
	for verb, sizes := range counts.Groups {
		send.histogram(groupCalls, sizes, 1, verb)
	}
	send.count(promotions, float64(counts.Promotions))
	send.count(expirations, float64(counts.Expired))
	send.count(rescues, float64(counts.Rescues))
	send.count(fires, float64(counts.Fires))
	send.histogram(fireLag, counts.FireLag, nanoseconds)
	send.histogram(notifyLag, counts.NotifyLag, nanoseconds)
	send.gauge(listening, truth(counts.Hearing))
	send.gauge(watchers, float64(counts.Watchers))
	send.gauge(watchedTasks, float64(counts.WatchedTasks))
	send.count(watchReads, float64(counts.WatchReads))
	send.count(published, float64(counts.Published), "fresh")
	send.count(published, float64(counts.PublishAgain), "replayed")
	send.count(publishMade, float64(counts.PublishMade))
	send.gauge(followers, float64(counts.Followers))
	send.count(messageReads, float64(counts.MessageReads))
	send.gauge(polls, float64(counts.Polls))
	send.count(polled, float64(counts.Leased))
	for name, pool := range counts.Pools {
		send.gauge(poolConns, float64(pool.InUse), name, "in_use")
		send.gauge(poolConns, float64(pool.Idle), name, "idle")
		send.gauge(poolMost, float64(pool.Most), name)
		send.count(poolAcquires, float64(pool.Acquires), name)
		send.count(poolWaits, float64(pool.Waits), name)
		send.count(poolWaited, pool.Waited.Seconds(), name)
		send.count(poolGivenUp, float64(pool.GivenUp), name)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// limited is the context of a survey, which serves all scrapes of its time and belongs to none.
func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), surveyWithin)
}
