package door

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

// refusal is an answer of a server that has no richer error in package scheduler.
type refusal struct {
	class error // what it matches
	text  string
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.class }

// errServer is the class of problems that are the server's own.
var errServer = errors.New("the server failed")

// classes are the codes whose errors carry only their text.
var classes = map[httpapi.Code]error{
	httpapi.CodeNotFound:            scheduler.ErrNotFound,
	httpapi.CodePreconditionFailed:  scheduler.ErrRevision,
	httpapi.CodeUniqueConflict:      scheduler.ErrKeyHeld,
	httpapi.CodeUnauthorized:        ErrUnauthorized,
	httpapi.CodeForbidden:           ErrUnauthorized,
	httpapi.CodeMisdirected:         ErrUnauthorized,
	httpapi.CodeBadCron:             scheduler.ErrInvalid,
	httpapi.CodePayloadTooLarge:     scheduler.ErrInvalid,
	httpapi.CodeSchemaMismatch:      scheduler.ErrSchema,
	httpapi.CodeDatabaseUnavailable: ErrUnreachable,
	httpapi.CodeTimeout:             ErrUnreachable,
	httpapi.CodeRequestTimeout:      ErrUnreachable,
}

// refused turns a problem of the server's into the error that the other door would have returned.
func (d *httpDoor) refused(response *http.Response, raw []byte) error {
	var p httpapi.Problem
	if err := json.Unmarshal(raw, &p); err != nil || p.Code == "" {
		return d.stranger(response)
	}
	if p.Code == httpapi.CodeNotFound && strings.HasPrefix(p.Detail, httpapi.NoSuchPath) {
		return &refusal{class: ErrUnreachable, text: fmt.Sprintf("%s has nothing at %s; it is older than this command, or the URL is not the one before /v1",
			d.base.Redacted(), response.Request.URL.Path)}
	}
	id, _ := scheduler.ParseTaskID(p.TaskID) // zero when the problem names none
	switch p.Code {
	case httpapi.CodeStateConflict:
		return &scheduler.StateError{Task: id, State: scheduler.State(p.State), Verb: "change"}
	case httpapi.CodeKeyReused:
		message, _ := strconv.ParseInt(p.MessageID, 10, 64) // 0 when the problem names none
		return &refusal{class: &scheduler.KeyReusedError{Task: id, Message: message}, text: p.Detail}
	case httpapi.CodeValidationFailed, httpapi.CodeMalformedJSON, httpapi.CodeBadCursor:
		return invalidFields(p)
	}
	class, known := classes[p.Code]
	if !known {
		class = errServer
	}
	text := p.Detail
	if class == errServer {
		text += " (request " + p.RequestID + ")"
	}
	return &refusal{class: class, text: text}
}

// invalidFields names the fields as package scheduler does: kind, 3.payload, and state for a bulk's /filter/state.
func invalidFields(p httpapi.Problem) error {
	var fields []scheduler.FieldError
	for _, e := range p.Errors {
		name := strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(e.Pointer, "/filter"), "/"), "/", ".") + e.Parameter + e.Header
		if name == "" {
			name = "request"
		}
		fields = append(fields, scheduler.FieldError{Field: name, Rule: e.Detail})
	}
	if fields == nil {
		fields = []scheduler.FieldError{{Field: "request", Rule: p.Detail}}
	}
	return &scheduler.InvalidError{Fields: fields}
}

// stranger is the error of an answer that no scheduler gives.
func (d *httpDoor) stranger(response *http.Response) error {
	return &refusal{class: ErrUnreachable, text: fmt.Sprintf("%s is no scheduler server: it answered %s to %s", d.base.Redacted(),
		response.Status, response.Request.URL.Path)}
}
