package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// editData is the form that edits a task, as it is filled in.
type editData struct {
	Payload, Priority, MaxAttempts, Tags, RunAt string

	Long bool // the payload is too long to be in every page; it is in one that was asked for
	Open bool
}

const formTime = "2006-01-02T15:04:05"

func newEdit(t scheduler.Task) editData {
	return editData{Payload: pretty(t.Payload), Priority: strconv.Itoa(t.Priority), MaxAttempts: strconv.Itoa(t.MaxAttempts), Tags: strings.Join(t.Tags, ", "),
		RunAt: t.RunAt.UTC().Format(formTime)}
}

// editTask stores what a form changed, unless somebody else changed the task meanwhile.
func (u *UI) editTask(r *http.Request) (string, error) {
	id, err := scheduler.ParseTaskID(r.PostForm.Get("id"))
	if err != nil {
		return "", err
	}
	before, err := u.client.Task(r.Context(), id)
	if err != nil {
		return "", err
	}
	edit, changed, err := editOf(r, before)
	if err != nil {
		return "", err
	}
	if !changed {
		return "Nothing was changed.", nil
	}
	err = u.client.Edit(r.Context(), id, edit)
	if errors.Is(err, scheduler.ErrRevision) {
		err = errChanged
	}
	return "The task is edited.", err
}

// editOf is what differs between a form and the task that it was filled in from.
func editOf(r *http.Request, t scheduler.Task) (e scheduler.Edit, changed bool, err error) {
	form, was := r.PostForm, newEdit(t)
	differs := func(name, before string) bool {
		given := form.Has(name) && strings.ReplaceAll(form.Get(name), "\r\n", "\n") != before
		changed = changed || given
		return given
	}
	whole := func(name string) *int {
		n, bad := wholeNumber(form, name)
		if bad != nil && err == nil {
			err = bad
		}
		return &n
	}
	if differs("payload", was.Payload) {
		e.Payload = json.RawMessage(bytes.TrimSpace([]byte(form.Get("payload"))))
	}
	if differs("priority", was.Priority) {
		e.Priority = whole("priority")
	}
	if differs("max_attempts", was.MaxAttempts) {
		e.MaxAttempts = whole("max_attempts")
	}
	if differs("tags", was.Tags) {
		tags := strings.FieldsFunc(form.Get("tags"), func(r rune) bool { return r == ',' || r == ' ' })
		e.Tags = &tags
	}
	if differs("run_at", was.RunAt) {
		var at time.Time
		if at, err = timeOf("run_at", form.Get("run_at")); err == nil {
			e.RunAt = &at
		}
	}
	if e.Revision, _ = strconv.ParseInt(form.Get("revision"), 10, 64); e.Revision == 0 {
		e.Revision = t.Revision
	}
	return e, changed, err
}

// wholeNumber is what a field of a form says.
func wholeNumber(form url.Values, name string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(form.Get(name)))
	if err != nil {
		return 0, &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: name, Rule: "a whole number"}}}
	}
	return n, nil
}
