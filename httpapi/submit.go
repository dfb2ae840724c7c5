package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

type submitInput struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"Bare, or quoted as a string of RFC 9651. The same request under the same key returns the same task; another one is refused."`
	RequestID      string `header:"X-Request-Id" doc:"The idempotency key of a request that brings none in its own header or body."`
	Prefer         string `header:"Prefer" doc:"wait=N: answer with the finished task if it ends within N seconds, 1 to 60." example:"wait=10"`
	TraceParent    string `header:"traceparent" doc:"The trace that the task belongs to (W3C Trace Context); one that is none is ignored."`
	RawBody        []byte
}

type submitOutput struct {
	Status     int
	Location   string `header:"Location" doc:"Where the task is."`
	RetryAfter string `header:"Retry-After" doc:"Seconds after which to look; absent when the task is done."`
	Replayed   string `header:"Idempotency-Replayed" doc:"true: the same request came before, this is its task."`
	Applied    string `header:"Preference-Applied" doc:"The task ended within this wait."`
	ETag       string `header:"ETag"`
	Body       Task
}

func (s *server) registerSubmit(api huma.API, tags []string) {
	handle(s, api, operation{
		Operation: huma.Operation{OperationID: "submit-task", Method: "POST", Path: "/v1/tasks", DefaultStatus: 202, Tags: tags,
			Summary: "Submit a task", Description: "Returns once the task is durable."},
		accepts: map[string]any{mediaJSON: SubmitRequest{}},
		also:    map[int]string{200: "It ended within Prefer: wait; or another task holds the unique_key, and is returned"},
		codes:   []Code{CodeKeyReused},
		direct:  s.serveSubmit,
	}, s.submit)
}

// serveSubmit does for a submit what huma does for other operations: its way by reflection would cost a good part of the request.
func (s *server) serveSubmit(w http.ResponseWriter, r *http.Request) {
	raw, problem := s.bodyOf(w, r, maxBody, false, mediaJSON)
	if problem != nil {
		problem.write(w, r)
		return
	}
	in := submitInput{IdempotencyKey: r.Header.Get("Idempotency-Key"), RequestID: r.Header.Get("X-Request-Id"), Prefer: r.Header.Get("Prefer"), RawBody: raw}
	ctx, cancel := s.limited(r.Context(), in.Prefer)
	defer cancel()
	out, err := s.submit(ctx, &in)
	if err != nil {
		s.problem(ctx, err).write(w, r)
		return
	}
	out.write(w)
}

func (out *submitOutput) write(w http.ResponseWriter) {
	header := w.Header()
	for _, field := range [...][2]string{{"Location", out.Location}, {"Retry-After", out.RetryAfter}, {"Idempotency-Replayed", out.Replayed},
		{"Preference-Applied", out.Applied}, {"Etag", out.ETag}} {
		if field[1] != "" {
			header.Set(field[0], field[1])
		}
	}
	header.Set("Content-Type", mediaJSON)
	w.WriteHeader(out.Status)
	_ = huma.DefaultJSONFormat.Marshal(w, &out.Body) // the client may be gone
}

func (s *server) submit(ctx context.Context, in *submitInput) (*submitOutput, error) {
	request, err := s.submits.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	if faults := request.faults(""); faults != nil {
		return nil, invalid(faults...)
	}
	if request.IdempotencyKey, err = in.key(request.IdempotencyKey); err != nil {
		return nil, err
	}
	submitted, task, err := s.store(ctx, request)
	if err != nil {
		return nil, err
	}
	out := &submitOutput{Status: 202}
	if submitted.Existing {
		out.Status = 200
	}
	if submitted.Replayed {
		out.Replayed = "true"
	}
	if wait := parseWait(in.Prefer); wait > 0 {
		// The task is stored: when it can't be watched, that is no failure of the submit.
		if ended, err := s.wait(ctx, submitted.ID, wait, ""); err == nil {
			task = NewTask(ended)
			if task.Done {
				out.Status, out.Applied = 200, "wait="+strconv.Itoa(wait)
			}
		}
	}
	task.Links.Watch = s.watchLink(submitted.ID, request.watchWish())
	out.Body, out.Location, out.ETag = task, task.Links.Self, etag(task.Revision)
	if !task.Done {
		out.RetryAfter = "1"
	}
	return out, nil
}

// key returns the idempotency key of a submit: of the header of that name, which must not contradict the body, of the body,
// or else the request's id. A proxy may set that one, so it decides nothing when there is a key.
func (in *submitInput) key(body *string) (*string, error) {
	name, value := "Idempotency-Key", in.IdempotencyKey
	if value == "" && body != nil {
		return body, nil
	}
	if value == "" {
		name, value = "X-Request-Id", in.RequestID
	}
	if value == "" {
		return nil, nil
	}
	key, err := parseIdempotencyKey(value)
	if err != nil {
		return nil, invalid(Detail{Header: name, Detail: err.Error()})
	}
	if body != nil && *body != key {
		return nil, invalid(Detail{Pointer: "/idempotency_key", Detail: "differs from the header Idempotency-Key"})
	}
	return &key, nil
}

// store submits the request. A fresh task is answered from what is known; one that was there before is read, and when it is
// gone by then, it no longer stands in the way.
func (s *server) store(ctx context.Context, request SubmitRequest) (scheduler.Submitted, Task, error) {
	for range 3 {
		submitted, err := s.client.Submit(ctx, request.NewTask())
		if err != nil {
			return submitted, Task{}, err
		}
		if !submitted.Replayed && !submitted.Existing {
			return submitted, freshTask(request, submitted), nil
		}
		found, err := s.client.Task(ctx, submitted.ID)
		if !errors.Is(err, scheduler.ErrNotFound) {
			return submitted, NewTask(found), err
		}
	}
	return scheduler.Submitted{}, Task{}, fmt.Errorf("submit: the key's task vanishes again and again")
}

// freshTask is a task as it was just stored; a test compares it with what the database says.
func freshTask(request SubmitRequest, submitted scheduler.Submitted) Task {
	task := scheduler.Task{ID: submitted.ID, Queue: submitted.Queue, Kind: request.Kind, State: submitted.State,
		Priority: request.Priority, MaxAttempts: 10, RunAt: submitted.RunAt, CreatedAt: submitted.CreatedAt, Revision: 1,
		Payload: request.Payload, TimeoutMS: request.TimeoutMS, BackoffMS: request.BackoffMS, UniqueKey: request.UniqueKey,
		IdempotencyKey: request.IdempotencyKey, Tags: scheduler.CleanTags(request.Tags)}
	if submitted.TraceParent != "" {
		task.TraceParent = &submitted.TraceParent
	}
	if request.MaxAttempts != nil {
		task.MaxAttempts = *request.MaxAttempts
	}
	if request.ExpiresAt != nil {
		at := request.ExpiresAt.Truncate(time.Microsecond) // what the database keeps
		task.ExpiresAt = &at
	}
	if task.Payload == nil {
		task.Payload = json.RawMessage("{}")
	}
	return NewTask(task)
}

// wait returns the task when it is final, or is no more what the client has, or as it is when the seconds or the request are
// over, or the server stops. What the client has may come from another server, which knew of it first: older than that is no news.
func (s *server) wait(ctx context.Context, id scheduler.TaskID, n int, have string) (scheduler.Task, error) {
	waiting, cancel := context.WithTimeout(ctx, seconds(n))
	defer cancel()
	for _, key := range []any{stopKey{}, goneKey{}} {
		if over, ok := ctx.Value(key).(context.Context); ok {
			defer context.AfterFunc(over, cancel)()
		}
	}
	return s.client.WaitUntil(waiting, id, newest(have), func(t scheduler.Task) bool {
		return t.State.Done() || have != "" && !matches(have, etag(t.Revision))
	})
}
