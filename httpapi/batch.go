package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	maxBatch  = 10000 // tasks of an array
	pathBatch = "/v1/tasks/batch"
)

// Submitted is one task of a batch as it was stored, or found.
type Submitted struct {
	ID        string    `json:"id" format:"uuid"`
	Queue     string    `json:"queue"`
	State     string    `json:"state" enum:"blocked,scheduled,ready,running,completed,failed,cancelled"`
	RunAt     time.Time `json:"run_at"`
	CreatedAt time.Time `json:"created_at"`
	Replayed  bool      `json:"replayed" doc:"Found by its idempotency_key: the same request came before."`
	Existing  bool      `json:"existing" doc:"Found by its unique_key: another task holds it."`
	Watch     string    `json:"watch,omitempty" doc:"The watch URL that was asked for."`
}

// NewSubmitted returns the wire form of a submitted task.
func NewSubmitted(t scheduler.Submitted) Submitted {
	return Submitted{ID: t.ID.String(), Queue: string(t.Queue), State: string(t.State), RunAt: t.RunAt.UTC(), CreatedAt: t.CreatedAt.UTC(),
		Replayed: t.Replayed, Existing: t.Existing}
}

type batchInput struct {
	IdempotencyKey string `header:"Idempotency-Key" hidden:"true"`
	TraceParent    string `header:"traceparent" doc:"The trace that the tasks belong to (W3C Trace Context); one that is none is ignored."`
	RawBody        []byte
}

func (s *server) registerBatch(api huma.API, tags []string) {
	handle(s, api, operation{
		Operation: huma.Operation{OperationID: "submit-tasks", Method: "POST", Path: pathBatch, DefaultStatus: 202, Tags: tags,
			Summary: "Submit up to 10,000 tasks, all or none, or a stream of any number",
			Description: "An array is stored as a whole or not at all; the answer has its tasks in order, faults point at them as /3/payload. " +
				"Lines of application/x-ndjson, one object each, are stored by the thousand while they come, and answered by lines in the same order: " +
				"the task, or why it alone was not stored. Give each task its own idempotency_key to be able to send it again.",
			Middlewares: huma.Middlewares{s.streamed}},
		accepts: map[string]any{mediaJSON: []SubmitRequest{}, mediaNDJSON: SubmitRequest{}},
		limit:   maxBatchBody,
		codes:   []Code{CodeKeyReused},
	}, s.submitBatch)
	describeLines(api)
}

func (s *server) submitBatch(ctx context.Context, in *batchInput) (*output[Page[Submitted]], error) {
	if in.IdempotencyKey != "" {
		return nil, errNoBatchKey()
	}
	list, err := split(in.RawBody)
	if err != nil {
		return nil, err
	}
	tasks, wishes, err := s.batch(list)
	if err != nil {
		return nil, err
	}
	submitted, err := s.client.SubmitMany(ctx, tasks)
	if err != nil {
		return nil, batchProblem(err, len(tasks))
	}
	page := pageOf(submitted, NewSubmitted)
	for i, wish := range wishes {
		page.Items[i].Watch = s.watchLink(submitted[i].ID, wish)
	}
	return &output[Page[Submitted]]{page}, nil
}

// split returns the objects of a batch.
func split(raw []byte) ([]json.RawMessage, error) {
	if err := checkJSON(raw, ""); err != nil {
		return nil, err
	}
	list, ok := elements(raw, maxBatch)
	if !ok || len(list) == 0 {
		return nil, wrongCount()
	}
	return list, nil
}

func wrongCount() *Problem {
	return invalid(Detail{Detail: fmt.Sprintf("expected an array of 1 to %d tasks, or lines of %s", maxBatch, mediaNDJSON)})
}

func errNoBatchKey() *Problem {
	return invalid(Detail{Header: "Idempotency-Key", Detail: "not for a batch: give each task its idempotency_key"})
}

// batch reads the tasks, and what watch URL each wants.
func (s *server) batch(list []json.RawMessage) ([]scheduler.NewTask, []watchWish, error) {
	tasks, wishes := make([]scheduler.NewTask, len(list)), make([]watchWish, len(list))
	var faults []Detail
	for i, raw := range list {
		task, wish, found, err := s.newTask(raw, "/"+strconv.Itoa(i))
		if err != nil {
			return nil, nil, err
		}
		if faults = append(faults, found...); len(faults) >= maxDetails {
			break
		}
		tasks[i], wishes[i] = task, wish
	}
	if faults != nil {
		return nil, nil, invalid(faults...)
	}
	return tasks, wishes, nil
}

// newTask reads the task that stands at a pointer, and what watch URL it wants.
func (s *server) newTask(raw []byte, at string) (scheduler.NewTask, watchWish, []Detail, error) {
	request, faults, err := s.submits.object(raw, at)
	return request.NewTask(), request.watchWish(), append(faults, request.faults(at)...), err
}

// batchProblem points the errors of SubmitMany into the array.
func batchProblem(err error, tasks int) error {
	var field *scheduler.InvalidError
	var reused *scheduler.KeyReusedError
	switch {
	case errors.As(err, &field) && tasks == 1: // whose fields have no index
		return invalid(pointers(field.Fields, "/0")...)
	case errors.As(err, &reused):
		p := newProblem(CodeKeyReused, reused.Error(), Detail{Pointer: "/" + strconv.Itoa(reused.At) + "/idempotency_key",
			Detail: "came before with another request"})
		p.TaskID = reused.Task.String()
		return p
	}
	return err
}
