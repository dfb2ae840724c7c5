package httpapi

import (
	"context"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

type taskInput struct {
	ID scheduler.TaskID `path:"id" format:"uuid"`
}

type readInput struct {
	ID          scheduler.TaskID `path:"id" format:"uuid"`
	IfNoneMatch string           `header:"If-None-Match" doc:"The ETag of what you have: 304 when it is still that."`
	Prefer      string           `header:"Prefer" doc:"wait=N: answer when the task is done, or with If-None-Match when it is no more what you have, or after N seconds, 1 to 60." example:"wait=10"`
}

type logsInput struct {
	ID    scheduler.TaskID `path:"id" format:"uuid"`
	After int64            `query:"after" minimum:"0" doc:"Only lines with a greater id."`
	Limit int              `query:"limit" minimum:"1" maximum:"1000" default:"200" doc:"Lines at most."`
}

type cancelInput struct {
	ID      scheduler.TaskID `path:"id" format:"uuid"`
	RawBody []byte
}

type readOutput struct {
	Status     int
	ETag       string `header:"ETag" doc:"The revision."`
	RetryAfter string `header:"Retry-After" doc:"Seconds after which to look again; absent when the task is done."`
	Applied    string `header:"Preference-Applied"`
	Body       Task
}

type taskOutput struct {
	Status int
	Body   Task
}

func (s *server) registerTasks(api huma.API) {
	tags, one := []string{"tasks"}, []Code{CodeNotFound, CodeValidationFailed}
	s.registerSubmit(api, tags)
	s.registerBatch(api, tags)
	s.registerList(api, tags)
	s.registerEdit(api, tags)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "get-task", Method: "GET", Path: "/v1/tasks/{id}", Tags: tags,
		Summary: "One task"}, also: map[int]string{304: "It is still what If-None-Match says"}, codes: one}, s.task)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "delete-task", Method: "DELETE", Path: "/v1/tasks/{id}", Tags: tags,
		DefaultStatus: 204, Summary: "Remove a final task with its attempts and logs"}, codes: append(one, CodeStateConflict)}, s.deleteTask)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "cancel-task", Method: "POST", Path: "/v1/tasks/{id}/cancel", Tags: tags,
		Summary: "Cancel a task", Description: "A task that does not run is cancelled at once. The handler of one that runs is told to stop; a completion that comes first wins."},
		accepts: map[string]any{mediaJSON: CancelRequest{}}, optional: true, also: map[int]string{202: "It runs, and was asked to stop"},
		codes: []Code{CodeNotFound, CodeStateConflict}}, s.cancelTask)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "retry-task", Method: "POST", Path: "/v1/tasks/{id}/retry", Tags: tags,
		Summary: "Bring a failed or cancelled task back, ready at once", Description: "Failures and crashes are forgotten, the history is kept."},
		codes: append(one, CodeStateConflict, CodeUniqueConflict)}, s.retryTask)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-attempts", Method: "GET", Path: "/v1/tasks/{id}/attempts", Tags: tags,
		Summary: "Attempts of a task, oldest first"}, codes: one}, s.attempts)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-logs", Method: "GET", Path: "/v1/tasks/{id}/logs", Tags: tags,
		Summary: "Lines that the handlers of a task wrote", Description: "next_cursor goes into after."}, codes: one}, s.logs)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "explain-task", Method: "GET", Path: "/v1/tasks/{id}/why", Tags: tags,
		Summary: "Why a task does not run", Description: "The reason to mend first is on top."}, codes: one}, s.why)
}

func (s *server) task(ctx context.Context, in *readInput) (*readOutput, error) {
	var task scheduler.Task
	var err error
	wait := parseWait(in.Prefer)
	if wait > 0 {
		task, err = s.wait(ctx, in.ID, wait, in.IfNoneMatch)
	} else {
		task, err = s.client.Task(ctx, in.ID)
	}
	if err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	out := &readOutput{Status: 200, ETag: etag(task.Revision), Body: NewTask(task)}
	if matches(in.IfNoneMatch, out.ETag) {
		out.Status = 304
	}
	if !task.State.Done() {
		out.RetryAfter = "1"
	}
	if wait > 0 {
		out.Applied = "wait=" + strconv.Itoa(wait)
	}
	return out, nil
}

func (s *server) deleteTask(ctx context.Context, in *taskInput) (*struct{}, error) {
	return nil, noSuch(s.client.Delete(ctx, in.ID), "task "+in.ID.String())
}

func (s *server) cancelTask(ctx context.Context, in *cancelInput) (*taskOutput, error) {
	request, err := s.cancels.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	outcome, err := s.client.Cancel(ctx, in.ID, request.Reason)
	if err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	out, err := s.now(ctx, in.ID)
	if err == nil && outcome.Requested {
		out.Status = 202
	}
	return out, err
}

func (s *server) retryTask(ctx context.Context, in *taskInput) (*taskOutput, error) {
	if _, err := s.client.Retry(ctx, in.ID); err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	return s.now(ctx, in.ID)
}

// now answers with the task as it is after a change.
func (s *server) now(ctx context.Context, id scheduler.TaskID) (*taskOutput, error) {
	task, err := s.client.Task(ctx, id)
	if err != nil {
		return nil, noSuch(err, "task "+id.String())
	}
	return &taskOutput{Status: 200, Body: NewTask(task)}, nil
}

func (s *server) attempts(ctx context.Context, in *taskInput) (*output[Page[Attempt]], error) {
	list, err := s.client.Attempts(ctx, in.ID)
	if err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	return &output[Page[Attempt]]{pageOf(list, NewAttempt)}, nil
}

func (s *server) logs(ctx context.Context, in *logsInput) (*output[Page[LogLine]], error) {
	list, err := s.client.Logs(ctx, in.ID, in.After, in.Limit)
	if err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	page := pageOf(list, NewLogLine)
	if len(list) == in.Limit { // there may be more, now or later
		next := strconv.FormatInt(list[len(list)-1].ID, 10)
		page.NextCursor = &next
	}
	return &output[Page[LogLine]]{page}, nil
}

func (s *server) why(ctx context.Context, in *taskInput) (*output[Page[Reason]], error) {
	list, err := s.client.Explain(ctx, in.ID)
	if err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	return &output[Page[Reason]]{pageOf(list, NewReason)}, nil
}
