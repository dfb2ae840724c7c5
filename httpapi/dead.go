package httpapi

import (
	"context"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// DeadGroup is the failed tasks whose errors read alike.
type DeadGroup struct {
	ErrorGroup string         `json:"error_group" doc:"For the list of tasks, and for a bulk."`
	ErrorCode  string         `json:"error_code"`
	Shape      string         `json:"shape" doc:"The error without what differs from one to the next: ids, quoted texts, URLs, paths, numbers."`
	Tasks      int            `json:"tasks" doc:"Among those looked at."`
	Sample     string         `json:"sample" format:"uuid" doc:"The newest task."`
	Error      *string        `json:"error" doc:"Of the newest task."`
	Kinds      []string       `json:"kinds" nullable:"false"`
	Queues     []string       `json:"queues" nullable:"false"`
	FirstAt    time.Time      `json:"first_at" doc:"When the first of them failed."`
	LastAt     time.Time      `json:"last_at" doc:"When the last of them failed."`
	Links      DeadGroupLinks `json:"links"`
}

// DeadGroupLinks are the paths of a group.
type DeadGroupLinks struct {
	Tasks string `json:"tasks"`
}

// DeadGroups are the groups, the largest first.
type DeadGroups struct {
	Items    []DeadGroup `json:"items" nullable:"false"`
	LookedAt int         `json:"looked_at" doc:"Failed tasks that were looked at, the newest. 20000: there may be more."`
}

// NewDeadGroups returns the wire form of groups.
func NewDeadGroups(list []scheduler.DeadGroup) DeadGroups {
	out := DeadGroups{Items: make([]DeadGroup, len(list))}
	for i, g := range list {
		queues := make([]string, len(g.Queues))
		for j, queue := range g.Queues {
			queues[j] = string(queue)
		}
		out.Items[i] = DeadGroup{ErrorGroup: g.ErrorGroup, ErrorCode: g.ErrorCode, Shape: g.Shape, Tasks: g.Tasks, Sample: g.Sample.String(), Error: g.Error,
			Kinds: g.Kinds, Queues: queues, FirstAt: g.FirstAt.UTC(), LastAt: g.LastAt.UTC(),
			Links: DeadGroupLinks{Tasks: "/v1/tasks?error_group=" + url.QueryEscape(g.ErrorGroup)}}
		out.LookedAt = g.LookedAt
	}
	return out
}

type deadInput struct {
	Queue queueName `query:"queue"`
	Kind  kindName  `query:"kind"`
}

func (s *server) registerDead(api huma.API) {
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-dead", Method: "GET", Path: "/v1/dead", Tags: []string{"tasks"},
		Summary: "Failed tasks, grouped by how their errors read", Description: "The newest 20,000 failed tasks, up to 100 groups, the largest first."},
		codes: []Code{CodeValidationFailed}}, s.dead)
}

func (s *server) dead(ctx context.Context, in *deadInput) (*output[DeadGroups], error) {
	list, err := s.client.DeadGroups(ctx, scheduler.Queue(in.Queue), string(in.Kind))
	if err != nil {
		return nil, err
	}
	return &output[DeadGroups]{NewDeadGroups(list)}, nil
}
