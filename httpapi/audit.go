package httpapi

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Audit is one action that somebody did.
type Audit struct {
	ID     int64           `json:"id" doc:"Grows."`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor" doc:"Who, as the request or the command line said."`
	Verb   string          `json:"verb" doc:"cancel, retry, run, edit, delete, pause_queue, set_schedule, quiet_worker, …"`
	TaskID *string         `json:"task_id" format:"uuid" doc:"null: it was not about one task."`
	Target string          `json:"target" doc:"The task's kind, or the name of a queue, schedule or worker."`
	Detail json.RawMessage `json:"detail" doc:"An object with what else there is to say."`
}

// NewAudit returns the wire form of an action.
func NewAudit(a scheduler.Audit) Audit {
	wire := Audit{ID: a.ID, At: a.At.UTC(), Actor: a.Actor, Verb: a.Verb, Target: a.Target, Detail: a.Detail}
	if a.TaskID != nil {
		id := a.TaskID.String()
		wire.TaskID = &id
	}
	return wire
}

type auditInput struct {
	Task   scheduler.TaskID `query:"task" format:"uuid" doc:"Only what was done to this task, which may be deleted by now."`
	Limit  int              `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Actions at most."`
	Before int64            `query:"before" minimum:"1" doc:"Only actions with a lower id."`
}

func (s *server) registerAudit(api huma.API) {
	handle(s, api, operation{Operation: huma.Operation{OperationID: "list-audit", Method: "GET", Path: "/v1/audit", Tags: []string{"audit"},
		Summary: "What was done by whom, newest first", Description: "next_cursor goes into before."}, codes: []Code{CodeValidationFailed}}, s.audit)
}

func (s *server) audit(ctx context.Context, in *auditInput) (*output[Page[Audit]], error) {
	list, more, err := s.client.Audit(ctx, scheduler.AuditFilter{Task: in.Task, Before: in.Before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	page := pageOf(list, NewAudit)
	if more {
		next := strconv.FormatInt(list[len(list)-1].ID, 10)
		page.NextCursor = &next
	}
	return &output[Page[Audit]]{page}, nil
}

// HeaderActor names who asks, for the rows of the audit. Whoever may ask at all may name anybody.
const HeaderActor = "X-Scheduler-Actor"

// actorOf is who asks: as the request says, else where it comes from, as the proxy in front says if there is one.
func actorOf(r *http.Request) string {
	if name := r.Header.Get(HeaderActor); name != "" {
		return name
	}
	if from, ok := forwardedFor(r); ok {
		return "http " + from.String()
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "http " + host
}
