package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Bulk is one thing done to all tasks that a filter matches, as far as it is.
type Bulk struct {
	ID         string          `json:"id" format:"uuid"`
	Verb       string          `json:"verb" enum:"retry,cancel,delete"`
	Filter     json.RawMessage `json:"filter" doc:"As it was given, and created_before when the bulk began."`
	Reason     *string         `json:"reason"`
	State      string          `json:"state" enum:"running,done,cancelled"`
	Total      *int64          `json:"total" doc:"Tasks that matched at the beginning. null: too many to count, or too slow to find."`
	Done       int64           `json:"done" doc:"Tasks that were retried, cancelled or deleted."`
	Skipped    int64           `json:"skipped" doc:"Tasks that matched and could not be: locked, changed meanwhile, refused by the database one by one, or another task holds their unique_key."`
	Actor      string          `json:"actor"`
	CreatedAt  time.Time       `json:"created_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
	FinishedAt *time.Time      `json:"finished_at"`
	Links      BulkLinks       `json:"links"`
}

// BulkLinks are the paths of a bulk.
type BulkLinks struct {
	Self   string `json:"self"`
	Cancel string `json:"cancel"`
}

// NewBulk returns the wire form of a bulk.
func NewBulk(b scheduler.Bulk) Bulk {
	self := "/v1/bulk/" + b.ID.String()
	return Bulk{ID: b.ID.String(), Verb: b.Verb, Filter: b.Filter, Reason: b.Reason, State: b.State, Total: b.Total, Done: b.Done, Skipped: b.Skipped,
		Actor: b.Actor, CreatedAt: b.CreatedAt.UTC(), UpdatedAt: b.UpdatedAt.UTC(), FinishedAt: utc(b.FinishedAt), Links: BulkLinks{Self: self, Cancel: self + "/cancel"}}
}

// BulkRequest is the body that begins a bulk. Verb and Filter are needed; an empty filter is all tasks.
type BulkRequest struct {
	Verb   string      `json:"verb" enum:"retry,cancel,delete"`
	Filter *TaskFilter `json:"filter" doc:"As the parameters of the list of tasks. {}: all"`
	Reason string      `json:"reason,omitempty" maxLength:"1000" doc:"Of a cancel, shown to people as the tasks' error"`
}

// TaskFilter chooses tasks, as the parameters of their list do.
type TaskFilter struct {
	State         string     `json:"state,omitempty" enum:"blocked,scheduled,ready,running,completed,failed,cancelled"`
	Queue         string     `json:"queue,omitempty"`
	Kind          string     `json:"kind,omitempty"`
	Tag           string     `json:"tag,omitempty" minLength:"1" maxLength:"64"`
	Text          string     `json:"q,omitempty" minLength:"1" maxLength:"200"`
	ErrorGroup    string     `json:"error_group,omitempty" minLength:"1" maxLength:"16" doc:"Of the list of dead letters"`
	CreatedAfter  *time.Time `json:"created_after,omitempty"`
	CreatedBefore *time.Time `json:"created_before,omitempty"`
}

// NewFilter returns what package scheduler takes.
func (f TaskFilter) NewFilter() scheduler.Filter {
	filter := scheduler.Filter{State: scheduler.State(f.State), Queue: scheduler.Queue(f.Queue), Kind: f.Kind, Tag: f.Tag, Text: f.Text, ErrorGroup: f.ErrorGroup}
	if f.CreatedAfter != nil {
		filter.CreatedAfter = *f.CreatedAfter
	}
	if f.CreatedBefore != nil {
		filter.CreatedBefore = *f.CreatedBefore
	}
	return filter
}

type bulkInput struct{ RawBody []byte }

type bulkIDInput struct {
	ID scheduler.BulkID `path:"id" format:"uuid"`
}

type bulksInput struct {
	Limit int `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Bulks at most."`
}

type bulkOutput struct {
	Location string `header:"Location" doc:"Where the bulk is."`
	Body     Bulk
}

func (s *server) registerBulk(api huma.API) {
	tags := []string{"bulk"}
	handle(s, api, operation{Operation: huma.Operation{OperationID: "begin-bulk", Method: "POST", Path: "/v1/tasks/bulk", DefaultStatus: 202, Tags: tags,
		Summary: "Retry, cancel or delete all tasks that a filter matches", Description: "Begins it; servers and workers do it, 1,000 tasks in a transaction, from the " +
			"newest down, whoever of them dies. Tasks that are made later are not touched."},
		accepts: map[string]any{mediaJSON: BulkRequest{}}}, s.beginBulk)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-bulks", Method: "GET", Path: "/v1/bulk", Tags: tags,
		Summary: "Bulks, newest first"}, codes: []Code{CodeValidationFailed}}, s.bulks)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "get-bulk", Method: "GET", Path: "/v1/bulk/{id}", Tags: tags,
		Summary: "How far a bulk is"}, codes: []Code{CodeNotFound, CodeValidationFailed}}, s.bulk)
	handle(s, api, operation{Operation: huma.Operation{OperationID: "cancel-bulk", Method: "POST", Path: "/v1/bulk/{id}/cancel", Tags: tags,
		Summary: "End a bulk; what it did stays done", Description: "One that is over is not_found."}, codes: []Code{CodeNotFound, CodeValidationFailed}}, s.cancelBulk)
}

func (s *server) beginBulk(ctx context.Context, in *bulkInput) (*bulkOutput, error) {
	request, err := s.bulkBody.one(in.RawBody)
	if err != nil {
		return nil, err
	}
	b, err := s.client.BeginBulk(ctx, request.Verb, request.Filter.NewFilter(), request.Reason)
	var field *scheduler.InvalidError
	if errors.As(err, &field) && field.Fields[0].Field != "verb" {
		return nil, invalid(filterFaults(field, func(name string) Detail { return Detail{Pointer: "/filter/" + name} })...)
	}
	if err != nil {
		return nil, err
	}
	body := NewBulk(b)
	return &bulkOutput{Location: body.Links.Self, Body: body}, nil
}

func (s *server) bulks(ctx context.Context, in *bulksInput) (*output[Page[Bulk]], error) {
	list, err := s.client.Bulks(ctx, in.Limit)
	if err != nil {
		return nil, err
	}
	return &output[Page[Bulk]]{pageOf(list, NewBulk)}, nil
}

func (s *server) bulk(ctx context.Context, in *bulkIDInput) (*bulkOutput, error) {
	b, err := s.client.Bulk(ctx, in.ID)
	if err != nil {
		return nil, noSuch(err, "such bulk under way: "+in.ID.String())
	}
	return &bulkOutput{Body: NewBulk(b)}, nil
}

func (s *server) cancelBulk(ctx context.Context, in *bulkIDInput) (*bulkOutput, error) {
	if err := s.client.CancelBulk(ctx, in.ID); err != nil {
		return nil, noSuch(err, "such bulk under way: "+in.ID.String())
	}
	return s.bulk(ctx, in)
}
