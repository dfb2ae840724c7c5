package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgscheduler/scheduler/scheduler"
)

// nanoseconds in a second.
const nanoseconds = 1e9

// What the process did and holds.
var ofProcess []*prometheus.Desc

var (
	buildInfo    = declare(&ofProcess, "scheduler_build_info", "1; the labels say what runs here.", "version", "revision", "goversion", "schema")
	groupCalls   = declare(&ofProcess, "scheduler_group_commit_calls", "Calls that went together in one statement and one commit.", "verb")
	promotions   = declare(&ofProcess, "scheduler_promotions_total", "Scheduled tasks that this process made ready at their time.")
	expirations  = declare(&ofProcess, "scheduler_expirations_total", "Tasks that this process cancelled because they had not started in time.")
	rescues      = declare(&ofProcess, "scheduler_rescues_total", "Tasks that this process took from dead workers.")
	fires        = declare(&ofProcess, "scheduler_schedule_fires_total", "Tasks that this process made of ticks of schedules.")
	fireLag      = declare(&ofProcess, "scheduler_schedule_lag_seconds", "From a tick to the task that this process made of it.")
	notifyLag    = declare(&ofProcess, "scheduler_notify_round_trip_seconds", "From sending a notification to hearing it in the same process.")
	listening    = declare(&ofProcess, "scheduler_listening", "1: this process hears notifications. 0: it polls.")
	watchers     = declare(&ofProcess, "scheduler_watchers", "Those who follow tasks through this process, once for each task.")
	watchedTasks = declare(&ofProcess, "scheduler_watched_tasks", "Tasks that somebody follows through this process.")
	watchReads   = declare(&ofProcess, "scheduler_watch_reads_total", "Round trips that read watched tasks.")
	published    = declare(&ofProcess, "scheduler_messages_published_total", "Messages that this process published: fresh, or replayed under their idempotency key.", "outcome")
	publishMade  = declare(&ofProcess, "scheduler_messages_tasks_total", "Tasks that were made of them.")
	followers    = declare(&ofProcess, "scheduler_topic_followers", "Those who follow topics through this process.")
	messageReads = declare(&ofProcess, "scheduler_message_reads_total", "Round trips that read messages for them.")
	polls        = declare(&ofProcess, "scheduler_polls", "Remote workers that wait for tasks at this process.")
	polled       = declare(&ofProcess, "scheduler_polled_tasks_total", "Tasks that remote workers took from this process.")
	poolConns    = declare(&ofProcess, "scheduler_pool_connections", "Connections of a pool: in_use or idle.", "pool", "state")
	poolMost     = declare(&ofProcess, "scheduler_pool_connections_limit", "Connections that a pool may open.", "pool")
	poolAcquires = declare(&ofProcess, "scheduler_pool_acquires_total", "Connections taken from a pool.", "pool")
	poolWaits    = declare(&ofProcess, "scheduler_pool_waits_total", "Those for which none was idle.", "pool")
	poolWaited   = declare(&ofProcess, "scheduler_pool_wait_seconds_total", "Time spent on taking them.", "pool")
	poolGivenUp  = declare(&ofProcess, "scheduler_pool_abandoned_acquires_total", "Those whose caller did not wait for the end.", "pool")
)

// How attempts went that it has to do with.
var ofAttempts []*prometheus.Desc

var (
	waitTime     = declare(&ofAttempts, "scheduler_task_wait_seconds", "From due to started, of attempts of this process.", "queue", "kind")
	runTime      = declare(&ofAttempts, "scheduler_task_run_seconds", "How long attempts of this process ran.", "queue", "kind")
	attemptsDone = declare(&ofAttempts, "scheduler_attempts_total",
		"Attempts of this process that ended: completed, retried (failed, runs again), failed (failed for good), cancelled, snoozed, released, lost, elsewhere (by another program, also after a 202).",
		"queue", "kind", "outcome")
	leasesLost = declare(&ofAttempts, "scheduler_leases_lost_total", "Outcomes that were not written, because the lease was lost.")
)

// What its worker did and does.
var ofWorker []*prometheus.Desc

var (
	deaths   = declare(&ofWorker, "scheduler_worker_deaths_total", "Times that this worker was declared dead and began anew.")
	slots    = declare(&ofWorker, "scheduler_worker_slots", "Tasks that this worker runs at once, at most.")
	running  = declare(&ofWorker, "scheduler_worker_running", "Handlers of this worker that run now.")
	settling = declare(&ofWorker, "scheduler_worker_settling", "Attempts of this worker whose outcome is being written now.")
)

// What its deliveries to endpoints came to.
var ofPusher []*prometheus.Desc

var deliveries = declare(&ofPusher, "scheduler_deliveries_total",
	"Deliveries of this process to endpoints: delivered, accepted (by 202), later (429, 503), refused (for good), failed (tried again).", "endpoint", "outcome")

// What all processes together look like.
var ofSurvey []*prometheus.Desc

var (
	surveyUp       = declare(&ofSurvey, "scheduler_survey_up", "1: the last look at the database succeeded. 0: it failed, and the metrics that it gives are missing.")
	surveyFailures = declare(&ofSurvey, "scheduler_survey_failures_total", "Looks at the database that failed.")
	surveyTook     = declare(&ofSurvey, "scheduler_survey_duration_seconds", "How long the last look at the database took.")
	surveyAge      = declare(&ofSurvey, "scheduler_survey_age_seconds", "How long ago the last look at the database was.")
	queueTasks     = declare(&ofSurvey, "scheduler_queue_tasks", "Tasks by state: ready, scheduled, running, failed. At scheduler_queue_count_limit there may be more.", "queue", "state")
	countLimit     = declare(&ofSurvey, "scheduler_queue_count_limit", "Where counting the tasks of a queue and state stops: 500 to 10000, less with more queues.")
	queueOldest    = declare(&ofSurvey, "scheduler_queue_oldest_ready_seconds", "How long the oldest ready task has been due. 0: none is ready.", "queue")
	queuePaused    = declare(&ofSurvey, "scheduler_queue_paused", "1: nothing is leased from the queue.", "queue")
	queueWorkers   = declare(&ofSurvey, "scheduler_queue_workers", "Live workers that take from the queue.", "queue")
	queueSlots     = declare(&ofSurvey, "scheduler_queue_slots", "Slots of those workers, shared with their other queues.", "queue")
	workers        = declare(&ofSurvey, "scheduler_workers", "Workers: live, or dead and about to be rescued from.", "state")
	allSlots       = declare(&ofSurvey, "scheduler_slots", "Slots of all live workers.")
	promotionLate  = declare(&ofSurvey, "scheduler_promotion_overdue_seconds", "How long the most overdue scheduled task has been due. 0: none is.")
	scheduleLate   = declare(&ofSurvey, "scheduler_schedule_overdue_seconds", "How long the most overdue tick of a schedule has been due. 0: none is.")
	broken         = declare(&ofSurvey, "scheduler_schedules_broken", "Schedules that never fire until they are mended.")
	breakerState   = declare(&ofSurvey, "scheduler_endpoint_breaker", "1: the state that the breaker of an endpoint is in: closed, open or half_open.", "endpoint", "state")
	endpointPaused = declare(&ofSurvey, "scheduler_endpoint_paused", "1: nothing is delivered to the endpoint on request.", "endpoint")
	endpointBusy   = declare(&ofSurvey, "scheduler_endpoint_in_flight", "Tasks in the hands of an endpoint.", "endpoint")
	snapshotAge    = declare(&ofSurvey, "scheduler_oldest_snapshot_seconds", "Age of the oldest transaction that keeps dead rows from being removed.")
	notifyQueue    = declare(&ofSurvey, "scheduler_notification_queue_ratio", "How full PostgreSQL's queue of notifications is, 0 to 1.")
	deadRows       = declare(&ofSurvey, "scheduler_tasks_dead_rows", "Dead rows of scheduler.tasks, as the statistics have it.")
	clockAhead     = declare(&ofSurvey, "scheduler_clock_offset_seconds", "How far the database's clock is ahead of this machine's.")
)

func declare(list *[]*prometheus.Desc, name, help string, labels ...string) *prometheus.Desc {
	desc := prometheus.NewDesc(name, help, labels, nil)
	*list = append(*list, desc)
	return desc
}

func describe(to chan<- *prometheus.Desc, list []*prometheus.Desc) {
	for _, desc := range list {
		to <- desc
	}
}

// sender sends metrics that were read elsewhere.
type sender struct{ to chan<- prometheus.Metric }

func (s sender) gauge(desc *prometheus.Desc, value float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

func (s sender) count(desc *prometheus.Desc, value float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, value, labels...)
}

// histogram sends values that are counted in so many units each.
func (s sender) histogram(desc *prometheus.Desc, b scheduler.Buckets, units float64, labels ...string) {
	below, total := make(map[float64]uint64, len(b.Bounds)), uint64(0)
	for i, n := range b.Counts {
		total += n
		if i < len(b.Bounds) {
			below[float64(b.Bounds[i])/units] = total
		}
	}
	s.to <- prometheus.MustNewConstHistogram(desc, total, float64(b.Sum)/units, below, labels...)
}
