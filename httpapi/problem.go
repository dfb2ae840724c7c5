package httpapi

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Problem is an error as it is sent (RFC 9457, application/problem+json).
type Problem struct {
	Type      string   `json:"type" format:"uri" doc:"Where the code is explained."`
	Title     string   `json:"title" doc:"The code in words."`
	Status    int      `json:"status" doc:"The HTTP status."`
	Detail    string   `json:"detail" doc:"What happened this time, for people."`
	Code      Code     `json:"code" doc:"One word of a closed list, for programs."`
	Errors    []Detail `json:"errors,omitempty" nullable:"false" doc:"What is wrong, part by part; at most 20."`
	RequestID string   `json:"request_id" doc:"Also in the header X-Request-Id and in the server's log."`
	TaskID    string   `json:"task_id,omitempty" format:"uuid" doc:"The task in the way."`
	MessageID string   `json:"message_id,omitempty" doc:"The message in the way."`
	State     string   `json:"state,omitempty" doc:"The state of the task in the way."`

	header http.Header
}

// Detail is one fault of a request. At most one of Pointer, Parameter and Header says where.
type Detail struct {
	Pointer   string `json:"pointer,omitempty" doc:"Into the body (RFC 6901), as /payload or /3/payload."`
	Parameter string `json:"parameter,omitempty" doc:"Of the path or the query."`
	Header    string `json:"header,omitempty"`
	Detail    string `json:"detail" doc:"The rule that is broken."`
}

const maxDetails = 20

// NoSuchPath begins the detail of a not_found that is about the path, and not about what it names.
const NoSuchPath = "there is nothing at "

// problemDocs is where the codes are explained, each under its own name.
const problemDocs = "https://github.com/pgscheduler/scheduler/blob/main/docs/problems.md#"

func newProblem(code Code, detail string, faults ...Detail) *Problem {
	known := codes[code]
	p := &Problem{Type: problemDocs + string(code), Title: known.title, Status: known.status, Detail: detail, Code: code,
		Errors: faults[:min(len(faults), maxDetails)]}
	switch code {
	case CodeDatabaseUnavailable, CodeTimeout:
		p.header = http.Header{"Retry-After": {"1"}}
	case CodeUnauthorized:
		p.header = http.Header{"WWW-Authenticate": {`Bearer realm="scheduler"`}}
	}
	return p
}

// invalid is the problem of a request that breaks rules.
func invalid(faults ...Detail) *Problem {
	first := faults[0]
	detail := first.Detail
	if where := first.Pointer + first.Parameter + first.Header; where != "" {
		detail = where + ": " + detail
	}
	return newProblem(CodeValidationFailed, detail, faults...)
}

// noSuch says what there is none of, if that is the error.
func noSuch(err error, what string) error {
	if errors.Is(err, scheduler.ErrNotFound) {
		return newProblem(CodeNotFound, "there is no "+what)
	}
	return err
}

// Error makes a Problem an error: its detail and code.
func (p *Problem) Error() string { return p.Detail + " (" + string(p.Code) + ")" }

// GetStatus, GetHeaders and ContentType are how huma sends it.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns the headers that belong to the problem.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType returns the media type of a problem.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// write sends the problem from outside huma.
func (p *Problem) write(w http.ResponseWriter, r *http.Request) {
	p.RequestID = requestID(r.Context())
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = huma.DefaultJSONFormat.Marshal(w, p) // the client may be gone
}

// problemOf is the table from errors to problems: every error of package scheduler that a request can meet, in the order of
// precedence. ctx is the request's.
func problemOf(ctx context.Context, err error) *Problem {
	var (
		problem *Problem
		field   *scheduler.InvalidError
		cron    *scheduler.CronError
		reused  *scheduler.KeyReusedError
		state   *scheduler.StateError
		schema  *scheduler.SchemaError
	)
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &cron):
		where := "/expression"
		if strings.HasPrefix(cron.Reason, "zone ") {
			where = "/zone"
		}
		return newProblem(CodeBadCron, cron.Error(), Detail{Pointer: where, Detail: cron.Reason + "; " + cron.Hint})
	case errors.As(err, &field):
		return invalid(pointers(field.Fields, "")...)
	case errors.As(err, &reused):
		p := newProblem(CodeKeyReused, reused.Error())
		if reused.Message != 0 {
			p.MessageID = *decimal(&reused.Message)
		} else {
			p.TaskID = reused.Task.String()
		}
		return p
	case errors.As(err, &state):
		p := newProblem(CodeStateConflict, state.Error())
		p.TaskID, p.State = state.Task.String(), string(state.State)
		return p
	case errors.Is(err, scheduler.ErrLeaseLost):
		return newProblem(CodeLeaseLost, "the attempt is over: the worker was silent for too long, or it ended otherwise; nothing was written, stop the work")
	case errors.Is(err, scheduler.ErrKeyHeld):
		return newProblem(CodeUniqueConflict, "another task of the queue that is not final holds the task's unique_key")
	case errors.Is(err, scheduler.ErrRevision):
		return newProblem(CodePreconditionFailed, "the task changed since it was read; read it again")
	case errors.Is(err, scheduler.ErrNotFound):
		return newProblem(CodeNotFound, "there is none of that name")
	case errors.As(err, &schema):
		return newProblem(CodeSchemaMismatch, schema.Error())
	case errors.Is(ctx.Err(), context.Canceled):
		return newProblem(CodeTimeout, "the client closed its side of the connection while it waited; what was asked for may or may not be done")
	case ctx.Err() != nil:
		return newProblem(CodeTimeout, "no answer from the database in time; what was asked for may or may not be done")
	case scheduler.Unavailable(err):
		return newProblem(CodeDatabaseUnavailable, "the database can't be reached or can't serve now; what was asked for may or may not be done")
	}
	return newProblem(CodeInternal, "an unexpected error; the server's log has it under the request_id")
}

// pointers turns fields as package scheduler names them, 3.payload, into pointers below at.
func pointers(fields []scheduler.FieldError, at string) []Detail {
	faults := make([]Detail, len(fields))
	for i, f := range fields {
		faults[i] = Detail{Pointer: at + "/" + strings.ReplaceAll(f.Field, ".", "/"), Detail: f.Rule}
	}
	return faults
}
