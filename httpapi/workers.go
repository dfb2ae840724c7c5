package httpapi

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// WorkerCommand is what a worker was told to do.
type WorkerCommand struct {
	ID      string `json:"id" format:"uuid"`
	Command string `json:"command" enum:"run,quiet,stop"`
}

type workerInput struct {
	ID scheduler.WorkerID `path:"id" format:"uuid"`
}

func (s *server) registerWorkers(api huma.API) {
	tags := []string{"workers"}
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-workers", Method: "GET", Path: "/v1/workers", Tags: tags,
		Summary: "Worker processes, oldest first"}}, s.workers)
	for _, told := range []struct {
		command scheduler.Command
		summary string
	}{
		{scheduler.CommandQuiet, "Let a worker finish what it runs and take nothing more"},
		{scheduler.CommandStop, "Let a worker finish what it runs and end"},
		{scheduler.CommandRun, "Let a quiet worker work again"},
	} {
		handle(s, api, operation{Operation: huma.Operation{OperationID: string(told.command) + "-worker", Method: "POST",
			Path: "/v1/workers/{id}/" + string(told.command), DefaultStatus: 202, Tags: tags, Summary: told.summary,
			Description: "The worker hears it at once when notifications flow, else with its next heartbeat. One that was told to stop can't be told otherwise: not_found."},
			codes: []Code{CodeNotFound, CodeValidationFailed}}, s.command(told.command))
	}
}

func (s *server) workers(ctx context.Context, _ *struct{}) (*output[Page[Worker]], error) {
	list, err := s.client.Workers(ctx)
	if err != nil {
		return nil, err
	}
	return &output[Page[Worker]]{pageOf(list, NewWorker)}, nil
}

func (s *server) command(command scheduler.Command) func(context.Context, *workerInput) (*output[WorkerCommand], error) {
	return func(ctx context.Context, in *workerInput) (*output[WorkerCommand], error) {
		if err := s.client.Command(ctx, in.ID, command); err != nil {
			return nil, err
		}
		return &output[WorkerCommand]{WorkerCommand{ID: in.ID.String(), Command: string(command)}}, nil
	}
}
