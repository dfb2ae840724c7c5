package httpapi

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// EditRequest is the body of an edit, a merge patch (RFC 7396): what is absent stays, null is back to the default.
type EditRequest struct {
	Payload     json.RawMessage `json:"payload,omitempty" doc:"Any JSON of at most 262144 bytes; here null is a value"`
	Priority    *int            `json:"priority,omitempty" minimum:"-32768" maximum:"32767" doc:"Lower runs first. null: 0"`
	RunAt       *time.Time      `json:"run_at,omitempty" doc:"Not started before. null: now"`
	MaxAttempts *int            `json:"max_attempts,omitempty" minimum:"1" maximum:"1000" doc:"Failures until the task is failed. null: 10"`
	TimeoutMS   *int64          `json:"timeout_ms,omitempty" minimum:"1" maximum:"31557600000" doc:"Longest run of one attempt. null: no limit"`
	ExpiresAt   *time.Time      `json:"expires_at,omitempty" doc:"Cancelled when not started by then. null: never"`
	BackoffMS   []int64         `json:"backoff_ms,omitempty" minItems:"1" maxItems:"100" nullable:"false" doc:"Wait after the first, second, … failure; the last repeats. null: exponential with full jitter"`
	Tags        []string        `json:"tags,omitempty" maxItems:"16" nullable:"false" doc:"Words to find the task by. null: none"`
}

type editInput struct {
	ID      scheduler.TaskID `path:"id" format:"uuid"`
	IfMatch string           `header:"If-Match" doc:"The ETag of what you have: 412 when the task is no more that."`
	RawBody []byte
}

type editOutput struct {
	ETag string `header:"ETag" doc:"The revision."`
	Body Task
}

func (s *server) registerEdit(api huma.API, tags []string) {
	handle(s, api, operation{Operation: huma.Operation{OperationID: "edit-task", Method: "PATCH", Path: "/v1/tasks/{id}", Tags: tags,
		Summary: "Change a task that neither runs nor is completed", Description: "What is absent stays as it is, null is back to the default. " +
			"A failed or cancelled task stays so; its next retry has what was changed."},
		accepts: map[string]any{mediaJSON: EditRequest{}, mediaMerge: EditRequest{}}, codes: []Code{CodeNotFound, CodeStateConflict, CodePreconditionFailed}}, s.editTask)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "run-task", Method: "POST", Path: "/v1/tasks/{id}/run", Tags: tags,
		Summary: "Make a scheduled task ready before its time"}, codes: []Code{CodeNotFound, CodeValidationFailed, CodeStateConflict}}, s.runTask)
}

func (s *server) editTask(ctx context.Context, in *editInput) (*editOutput, error) {
	request, err := s.edits.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	if faults := (SubmitRequest{RunAt: request.RunAt, ExpiresAt: request.ExpiresAt}).faults(""); faults != nil {
		return nil, invalid(faults...)
	}
	edit, err := ParseEdit(in.RawBody)
	if err != nil {
		return nil, err
	}
	if edit.Revision, err = parseIfMatch(in.IfMatch); err != nil {
		return nil, err
	}
	if err := s.client.Edit(ctx, in.ID, edit); err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	now, err := s.now(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &editOutput{ETag: etag(now.Body.Revision), Body: now.Body}, nil
}

func (s *server) runTask(ctx context.Context, in *taskInput) (*taskOutput, error) {
	if _, err := s.client.RunNow(ctx, in.ID); err != nil {
		return nil, noSuch(err, "task "+in.ID.String())
	}
	return s.now(ctx, in.ID)
}

// parseIfMatch returns the revision that an If-Match header names; 0: none, or any. What is no tag of a task's matches none. A weak tag is
// one that a proxy made of ours when it compressed the answer; the revision in it says as much as before.
func parseIfMatch(header string) (int64, error) {
	header = strings.TrimSpace(header)
	if header == "" || header == "*" {
		return 0, nil
	}
	header = strings.TrimPrefix(header, "W/")
	revision, err := strconv.ParseInt(strings.Trim(header, `"`), 10, 64)
	if err != nil || revision < 1 || etag(revision) != header {
		return 0, newProblem(CodePreconditionFailed, "If-Match is not one ETag of this task", Detail{Header: "If-Match", Detail: `one revision, as "3"`})
	}
	return revision, nil
}

// ParseEdit reads the body of an edit: what package scheduler is to change. It checks no bounds.
func ParseEdit(raw []byte) (e scheduler.Edit, err error) {
	var r EditRequest
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &r); err != nil {
		return e, err
	}
	if err := json.Unmarshal(raw, &given); err != nil {
		return e, err
	}
	task := SubmitRequest{RunAt: r.RunAt, TimeoutMS: r.TimeoutMS, ExpiresAt: r.ExpiresAt, BackoffMS: r.BackoffMS, Tags: r.Tags}.NewTask()
	if payload, ok := given["payload"]; ok {
		e.Payload = payload
	}
	ask := func(name string, set func()) {
		if _, ok := given[name]; ok {
			set()
		}
	}
	ask("priority", func() { e.Priority = orElse(r.Priority, 0) })
	ask("run_at", func() { e.RunAt = &task.RunAt })
	ask("max_attempts", func() { e.MaxAttempts = orElse(r.MaxAttempts, 10) })
	ask("timeout_ms", func() { e.Timeout = &task.Timeout })
	ask("expires_at", func() { e.ExpiresAt = &task.ExpiresAt })
	ask("backoff_ms", func() { e.Backoff = &task.Backoff })
	ask("tags", func() { e.Tags = &task.Tags })
	return e, nil
}

func orElse[T any](value *T, otherwise T) *T {
	if value == nil {
		return &otherwise
	}
	return value
}
