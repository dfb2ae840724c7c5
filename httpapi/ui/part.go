package ui

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Pages stay light whatever a task carries: they read themselves again every few seconds.
const (
	shownBytes  = 16 << 10  // of a payload, a result or reported data
	shownError  = 4 << 10   // bytes of an error
	shownStack  = 8 << 10   // bytes of a stack
	shownErrors = 10        // that differ from the one before
	logRows     = 1000      // last lines of the log
	logBytes    = 256 << 10 // of those
)

// excerpt is JSON as the page of a task shows it.
type excerpt struct {
	Text  string
	Whole string // where all of it is; "": here
	Size  string
}

func newExcerpt(id scheduler.TaskID, part string, raw json.RawMessage) (e excerpt) {
	e.Text, e.Size = pretty(raw), size(int64(len(raw)))
	if len(e.Text) > shownBytes {
		e.Text, e.Whole = scheduler.Truncate(e.Text, shownBytes), "/tasks/"+id.String()+"/"+part
	}
	return e
}

// taskPart answers with all of the payload, the result or the reported data of a task, as JSON.
func (u *UI) taskPart(w http.ResponseWriter, r *http.Request) {
	id, err := scheduler.ParseTaskID(r.PathValue("id"))
	if err != nil {
		err = scheduler.ErrNotFound
	}
	var t scheduler.Task
	if err == nil {
		t, err = u.client.Task(r.Context(), id)
	}
	if err != nil {
		u.refuse(w, r, err)
		return
	}
	part, ok := map[string]json.RawMessage{"payload": t.Payload, "result": t.Result, "data": t.ProgressData}[r.PathValue("part")]
	if !ok || part == nil {
		u.fail(w, r, http.StatusNotFound, "There is no such page", "A task has a payload, and may have a result and data that it reported.")
		return
	}
	send(w, r, http.StatusOK, "application/json", append([]byte(pretty(part)), '\n'))
}

// lastLines are the last of some lines, of at most so many bytes together; more: there were others before them.
func lastLines(lines []scheduler.LogLine, most int) (last []scheduler.LogLine, more bool) {
	for i := len(lines) - 1; i >= 0; i-- {
		if most -= len(lines[i].Message); most < 0 {
			return lines[i+1:], true
		}
	}
	return lines, len(lines) == logRows
}

// curl is a command that submits the same task again. A payload that is too long for a command is fetched by it.
func curl(r *http.Request, t scheduler.Task) string {
	body := map[string]any{"kind": t.Kind, "queue": t.Queue}
	if t.Priority != 0 {
		body["priority"] = t.Priority
	}
	if len(t.Tags) > 0 {
		body["tags"] = t.Tags
	}
	scheme := "http"
	if secure(r) {
		scheme = "https"
	}
	at, bearer := scheme+"://"+r.Host, `-H "Authorization: Bearer $SCHEDULER_TOKEN"`
	post := "curl " + shell(at+"/v1/tasks") + " " + bearer + ` -H 'Content-Type: application/json' -d `
	if len(t.Payload) > shownBytes {
		start, err := json.Marshal(body)
		if err != nil {
			return ""
		}
		return fmt.Sprintf("{ printf %%s %s; curl -fsS %s %s; echo '}'; } | %s@-",
			shell(string(start[:len(start)-1])+`,"payload":`), shell(at+"/tasks/"+t.ID.String()+"/payload"), bearer, post)
	}
	body["payload"] = t.Payload
	encoded, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	return post + shell(string(encoded))
}
