package httpapi

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

type triggerInput struct {
	Name        scheduleName `path:"name"`
	TraceParent string       `header:"traceparent" doc:"The trace that the task belongs to (W3C Trace Context); one that is none is ignored."`
}

type scheduleInput struct {
	Name scheduleName `path:"name"`
}

type setScheduleInput struct {
	Name    scheduleName `path:"name"`
	RawBody []byte
}

type nextTicksInput struct {
	Name  scheduleName `path:"name"`
	Count int          `query:"count" minimum:"1" maximum:"100" default:"5" doc:"How many ticks."`
}

type scheduleOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     Schedule
}
type triggerOutput struct {
	Location string `header:"Location"`
	Body     Task
}

func (s *server) registerSchedules(api huma.API) {
	tags, one := []string{"schedules"}, []Code{CodeNotFound, CodeValidationFailed}
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-schedules", Method: "GET", Path: "/v1/schedules", Tags: tags,
		Summary: "Schedules by name"}}, s.schedules)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "get-schedule", Method: "GET", Path: "/v1/schedules/{name}", Tags: tags,
		Summary: "One schedule"}, codes: one}, s.schedule)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "set-schedule", Method: "PUT", Path: "/v1/schedules/{name}", Tags: tags,
		Summary: "Make or replace a schedule", Description: "A pause stays, and so does the pending tick unless expression or zone changed."},
		accepts: map[string]any{mediaJSON: ScheduleRequest{}}, also: map[int]string{201: "It is new"}, codes: []Code{CodeBadCron}}, s.setSchedule)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "delete-schedule", Method: "DELETE", Path: "/v1/schedules/{name}", Tags: tags,
		DefaultStatus: 204, Summary: "Remove a schedule; tasks that it made stay"}, codes: one}, s.deleteSchedule)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "pause-schedule", Method: "POST", Path: "/v1/schedules/{name}/pause", Tags: tags,
		Summary: "Stop a schedule from firing"}, codes: one}, s.pauseSchedule)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "resume-schedule", Method: "POST", Path: "/v1/schedules/{name}/resume", Tags: tags,
		Summary: "Let a schedule fire again", Description: "From its next tick on: ticks of the pause are not made up for."}, codes: one}, s.resumeSchedule)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "trigger-schedule", Method: "POST", Path: "/v1/schedules/{name}/trigger", Tags: tags,
		DefaultStatus: 202, Summary: "Make a task of a schedule now, beside its ticks"}, codes: one}, s.triggerSchedule)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "next-ticks", Method: "GET", Path: "/v1/schedules/{name}/next", Tags: tags,
		Summary: "The next ticks of a schedule", Description: "Of a paused one: those that it would have if it were resumed now."},
		codes: append(one, CodeBadCron)}, s.nextTicks)
}

func (s *server) schedules(ctx context.Context, _ *struct{}) (*output[Page[Schedule]], error) {
	list, err := s.client.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	return &output[Page[Schedule]]{pageOf(list, NewSchedule)}, nil
}

func (s *server) schedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	found, err := s.client.Schedule(ctx, string(in.Name))
	if err != nil {
		return nil, noSuch(err, "schedule "+string(in.Name))
	}
	return &scheduleOutput{Status: 200, Body: NewSchedule(found)}, nil
}

func (s *server) setSchedule(ctx context.Context, in *setScheduleInput) (*scheduleOutput, error) {
	request, err := s.plans.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	stored, err := s.client.SetSchedule(ctx, request.NewSchedule(string(in.Name)))
	if err != nil {
		return nil, err
	}
	out := &scheduleOutput{Status: 200, Body: NewSchedule(stored)}
	if stored.CreatedAt.Equal(stored.UpdatedAt) {
		out.Status, out.Location = 201, out.Body.Links.Self
	}
	return out, nil
}

func (s *server) deleteSchedule(ctx context.Context, in *scheduleInput) (*struct{}, error) {
	return nil, noSuch(s.client.DeleteSchedule(ctx, string(in.Name)), "schedule "+string(in.Name))
}

func (s *server) pauseSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	if err := s.client.PauseSchedule(ctx, string(in.Name)); err != nil {
		return nil, noSuch(err, "schedule "+string(in.Name))
	}
	return s.schedule(ctx, in)
}

func (s *server) resumeSchedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	if err := s.client.ResumeSchedule(ctx, string(in.Name)); err != nil {
		return nil, noSuch(err, "schedule "+string(in.Name))
	}
	return s.schedule(ctx, in)
}

func (s *server) triggerSchedule(ctx context.Context, in *triggerInput) (*triggerOutput, error) {
	id, err := s.client.TriggerSchedule(ctx, string(in.Name))
	if err != nil {
		return nil, noSuch(err, "schedule "+string(in.Name))
	}
	task, err := s.client.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	body := NewTask(task)
	return &triggerOutput{Location: body.Links.Self, Body: body}, nil
}

func (s *server) nextTicks(ctx context.Context, in *nextTicksInput) (*output[Page[time.Time]], error) {
	found, err := s.client.Schedule(ctx, string(in.Name))
	if err != nil {
		return nil, noSuch(err, "schedule "+string(in.Name))
	}
	cron, err := scheduler.ParseCron(found.Expression, found.Zone)
	if err != nil {
		return nil, err
	}
	ticks := make([]time.Time, 0, in.Count)
	if from := found.NextRunAt; from != nil && found.PausedAt == nil {
		ticks = append(append(ticks, from.UTC()), cron.NextN(*from, in.Count-1)...)
	} else {
		ticks = append(ticks, cron.NextN(time.Now(), in.Count)...)
	}
	return &output[Page[time.Time]]{Page[time.Time]{Items: ticks}}, nil
}
