package httpapi

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// QueuePause says whether a queue is paused.
type QueuePause struct {
	Name     string     `json:"name"`
	Paused   bool       `json:"paused"`
	PausedAt *time.Time `json:"paused_at"`
}

type queueInput struct {
	Queue queueName `path:"queue"`
}

func (s *server) registerQueues(api huma.API) {
	tags := []string{"queues"}
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-queues", Method: "GET", Path: "/v1/queues", Tags: tags,
		Summary: "Queues with their counts", Description: "Every queue that has tasks that are not final, failed tasks, workers or settings. A count of 10000 means that many or more."}},
		s.queues)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "pause-queue", Method: "POST", Path: "/v1/queues/{queue}/pause", Tags: tags,
		Summary: "Start no more tasks of a queue", Description: "What runs goes on."}, codes: []Code{CodeValidationFailed}}, s.pauseQueue)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "resume-queue", Method: "POST", Path: "/v1/queues/{queue}/resume", Tags: tags,
		Summary: "Undo a pause"}, codes: []Code{CodeValidationFailed}}, s.resumeQueue)
}

func (s *server) queues(ctx context.Context, _ *struct{}) (*output[Page[Queue]], error) {
	list, err := s.client.Queues(ctx)
	if err != nil {
		return nil, err
	}
	return &output[Page[Queue]]{pageOf(list, NewQueue)}, nil
}

func (s *server) pauseQueue(ctx context.Context, in *queueInput) (*output[QueuePause], error) {
	at, err := s.client.PauseQueue(ctx, scheduler.Queue(in.Queue))
	if err != nil {
		return nil, err
	}
	return &output[QueuePause]{QueuePause{Name: string(in.Queue), Paused: true, PausedAt: utc(&at)}}, nil
}

func (s *server) resumeQueue(ctx context.Context, in *queueInput) (*output[QueuePause], error) {
	if _, err := s.client.ResumeQueue(ctx, scheduler.Queue(in.Queue)); err != nil {
		return nil, err
	}
	return &output[QueuePause]{QueuePause{Name: string(in.Queue)}}, nil
}

// pageOf is the only page of a list that is never long.
func pageOf[From, To any](list []From, to func(From) To) Page[To] {
	page := Page[To]{Items: make([]To, len(list))}
	for i, v := range list {
		page.Items[i] = to(v)
	}
	return page
}
