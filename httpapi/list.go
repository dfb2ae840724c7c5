package httpapi

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

type listInput struct {
	State         string    `query:"state" enum:"blocked,scheduled,ready,running,completed,failed,cancelled"`
	Queue         queueName `query:"queue"`
	Kind          kindName  `query:"kind"`
	Tag           tagName   `query:"tag"`
	Text          string    `query:"q" maxLength:"200" doc:"In kind, error, progress message or payload, whatever the case, or how an id begins."`
	ErrorGroup    string    `query:"error_group" maxLength:"16" doc:"Only failed tasks of this group of the list of dead letters."`
	CreatedAfter  time.Time `query:"created_after" doc:"Made at that time or later."`
	CreatedBefore time.Time `query:"created_before" doc:"Made earlier."`
	Limit         int       `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Tasks at most."`
	Cursor        string    `query:"cursor" doc:"The next_cursor of the page before."`
}

type listOutput struct {
	Link string `header:"Link" doc:"rel=next: the next page."`
	Body Page[Task]
}

func (s *server) registerList(api huma.API, tags []string) {
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-tasks", Method: "GET", Path: "/v1/tasks", Tags: tags,
		Summary: "Tasks, newest first", Description: "A page looks at up to 20,000 tasks. When fewer of them match than fit, it is not full, or even empty, " +
			"and next_cursor goes on where it stopped: only a null next_cursor is the end."},
		codes: []Code{CodeBadCursor, CodeValidationFailed}}, s.tasks)
}

func (s *server) tasks(ctx context.Context, in *listInput) (*listOutput, error) {
	before, err := parseCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	filter := in.filter()
	filter.Before, filter.Limit = before, in.Limit
	list, next, err := s.client.Tasks(ctx, filter)
	var field *scheduler.InvalidError
	if errors.As(err, &field) {
		return nil, invalid(filterFaults(field, func(name string) Detail { return Detail{Parameter: name} })...)
	}
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: pageOf(list, NewTask)}
	if !next.IsZero() {
		cursor := newCursor(next)
		out.Body.NextCursor = &cursor
		out.Link = "</v1/tasks?" + in.query(cursor) + `>; rel="next"`
	}
	return out, nil
}

func (in *listInput) filter() scheduler.Filter {
	return scheduler.Filter{Queue: scheduler.Queue(in.Queue), Kind: string(in.Kind), State: scheduler.State(in.State), Tag: string(in.Tag),
		Text: in.Text, ErrorGroup: in.ErrorGroup, CreatedAfter: in.CreatedAfter, CreatedBefore: in.CreatedBefore}
}

// filterFaults are the faults of a filter, by the names that its fields have here.
func filterFaults(err *scheduler.InvalidError, at func(name string) Detail) (faults []Detail) {
	for _, f := range err.Fields {
		name := f.Field
		if name == "text" {
			name = "q"
		}
		fault := at(name)
		fault.Detail = f.Rule
		faults = append(faults, fault)
	}
	return faults
}

// query is the list's own query with another cursor.
func (in *listInput) query(cursor string) string {
	query := url.Values{"limit": {strconv.Itoa(in.Limit)}, "cursor": {cursor}}
	for name, value := range map[string]string{"state": in.State, "queue": string(in.Queue), "kind": string(in.Kind), "tag": string(in.Tag), "q": in.Text,
		"error_group":   in.ErrorGroup,
		"created_after": timeText(in.CreatedAfter), "created_before": timeText(in.CreatedBefore)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query.Encode()
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
