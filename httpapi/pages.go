package httpapi

import (
	"context"

	"github.com/pgscheduler/scheduler/httpapi/ui"
	"github.com/pgscheduler/scheduler/scheduler"
)

// addPages puts the dashboard beside the API: it shows things as the API does, and speaks of errors as it does.
func (s *server) addPages(token string) (err error) {
	s.pages, err = ui.New(ui.Config{Client: s.client, Token: token, Version: s.version,
		Wire: ui.Wire{
			Task:     func(v scheduler.Task) any { return NewTask(v) },
			Attempt:  func(v scheduler.Attempt) any { return NewAttempt(v) },
			LogLine:  func(v scheduler.LogLine) any { return NewLogLine(v) },
			Reason:   func(v scheduler.Reason) any { return NewReason(v) },
			Queue:    func(v scheduler.QueueStatus) any { return NewQueue(v) },
			Worker:   func(v scheduler.Worker) any { return NewWorker(v) },
			Audit:    func(v scheduler.Audit) any { return NewAudit(v) },
			Endpoint: func(v scheduler.Endpoint) any { return NewEndpoint(v) },
			Schedule: func(v scheduler.Schedule) any { return NewSchedule(v) },

			Subscription: func(v scheduler.Subscription) any { return NewSubscription(v) },
			Message:      func(v scheduler.StoredMessage) any { return newStoredMessage(v) },
		},
		Refusal: func(ctx context.Context, err error) (int, string, string) {
			p := s.problem(ctx, err)
			return p.Status, p.Title, p.Detail
		}})
	if err == nil {
		s.gate.signed = s.pages.SignedIn
	}
	return err
}
