package metrics

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgscheduler/scheduler/scheduler"
)

// How far tasks are counted: to countAll over all queues, but in each to countLeast, and no further than to scheduler.CountCap.
const (
	countAll   = 20_000
	countLeast = 500
)

// surveys collects what the database says, no more often than surveyEvery, whoever asks; less often when that takes long.
type surveys struct {
	client *scheduler.Client
	logger *slog.Logger
	queues labels
	places labels // endpoints

	mu       sync.Mutex
	most     int // to which was counted
	survey   scheduler.Survey
	at       time.Time // of the last look; zero: none
	took     time.Duration
	err      error
	failures uint64
}

func newSurveys(config Config) *surveys {
	return &surveys{client: config.Client, logger: config.Logger}
}

func (s *surveys) Describe(to chan<- *prometheus.Desc) { describe(to, ofSurvey) }

func (s *surveys) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look()
	send := sender{to}
	send.gauge(surveyUp, truth(s.err == nil))
	send.count(surveyFailures, float64(s.failures))
	send.gauge(surveyTook, s.took.Seconds())
	send.gauge(surveyAge, time.Since(s.at).Seconds())
	if s.err != nil {
		return
	}
	send.gauge(countLimit, float64(s.most))
	for state, n := range map[string]int{"live": s.survey.LiveWorkers, "dead": s.survey.DeadWorkers} {
		send.gauge(workers, float64(n), state)
	}
	send.gauge(allSlots, float64(s.survey.Slots))
	send.gauge(promotionLate, float64(s.survey.PromotionLateMS)/1000)
	send.gauge(scheduleLate, float64(s.survey.ScheduleLateMS)/1000)
	send.gauge(broken, float64(s.survey.BrokenSchedules))
	send.gauge(snapshotAge, s.survey.OldestSnapshotS)
	send.gauge(notifyQueue, s.survey.NotificationQueue)
	send.gauge(deadRows, float64(s.survey.DeadRows))
	send.gauge(clockAhead, time.Until(s.client.Now()).Seconds())
	for _, e := range s.survey.Endpoints {
		if s.places.admit(e.Name) != e.Name || e.Name == labelOther { // the states of several do not add up
			continue
		}
		for _, state := range []scheduler.Breaker{scheduler.BreakerClosed, scheduler.BreakerOpen, scheduler.BreakerHalfOpen} {
			send.gauge(breakerState, truth(e.State == state), e.Name, string(state))
		}
		send.gauge(endpointPaused, truth(e.PausedAt != nil), e.Name)
		send.gauge(endpointBusy, float64(e.InFlight), e.Name)
	}
	for _, q := range s.merge(s.survey.Queues) {
		sendQueue(send, q)
	}
}

// look asks the database, unless it was asked just now. s.mu is held: who comes meanwhile waits, and finds it done.
func (s *surveys) look() {
	if pause := min(surveySeldom, max(surveyEvery, surveyShare*s.took)); !s.at.IsZero() && time.Since(s.at) < pause {
		return
	}
	ctx, cancel := limited()
	defer cancel()
	began, failed := time.Now(), s.err != nil
	s.most = min(scheduler.CountCap, max(countLeast, countAll/max(1, len(s.survey.Queues))))
	if s.at.IsZero() { // nobody knows yet how many queues there are
		s.most = countLeast
	}
	s.survey, s.err = s.client.Survey(ctx, s.most)
	s.at, s.took = time.Now(), time.Since(began)
	if s.err != nil {
		s.failures++
		if !failed {
			s.logger.LogAttrs(ctx, slog.LevelWarn, "survey", slog.Any("err", s.err))
		}
	}
}

func sendQueue(send sender, q scheduler.QueueStatus) {
	name := string(q.Name)
	for state, n := range map[string]int{"ready": q.Ready, "scheduled": q.Scheduled, "running": q.Running, "failed": q.Failed} {
		send.gauge(queueTasks, float64(n), name, state)
	}
	oldest := int64(0)
	if q.OldestReadyMS != nil {
		oldest = max(0, *q.OldestReadyMS)
	}
	send.gauge(queueOldest, float64(oldest)/1000, name)
	send.gauge(queuePaused, truth(q.PausedAt != nil), name)
	send.gauge(queueWorkers, float64(q.Workers), name)
	send.gauge(queueSlots, float64(q.Slots), name)
}

// merge adds up the queues beyond those that have a label of their own.
func (s *surveys) merge(queues []scheduler.QueueStatus) []scheduler.QueueStatus {
	var merged []scheduler.QueueStatus
	var other scheduler.QueueStatus
	for _, q := range queues {
		if s.queues.admit(string(q.Name)) == string(q.Name) && q.Name != labelOther {
			merged = append(merged, q)
			continue
		}
		other.Name = labelOther
		other.Ready, other.Scheduled, other.Running, other.Failed = other.Ready+q.Ready, other.Scheduled+q.Scheduled, other.Running+q.Running, other.Failed+q.Failed
		other.Workers, other.Slots = max(other.Workers, q.Workers), max(other.Slots, q.Slots)
		if q.OldestReadyMS != nil && (other.OldestReadyMS == nil || *q.OldestReadyMS > *other.OldestReadyMS) {
			other.OldestReadyMS = q.OldestReadyMS
		}
	}
	if other.Name != "" {
		merged = append(merged, other)
	}
	return merged
}
