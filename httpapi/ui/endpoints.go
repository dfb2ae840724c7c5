package ui

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// endpointsData is what the page of endpoints shows.
type endpointsData struct {
	Rows []endpointRow
	Edit *scheduler.Endpoint // the one whose form is open; nil: none
	New  scheduler.Endpoint  // an empty form
}

// endpointRow is an endpoint as its page shows it.
type endpointRow struct {
	scheduler.Endpoint
	Now   time.Time
	State string // what people look for first: paused, open, half open, closed, or unserved
	Title string // the same as a sentence
	Due   bool   // it is open, and the next task probes it
}

func (u *UI) endpoints(r *http.Request) (*screen, error) {
	endpoints, err := u.client.Endpoints(r.Context())
	if err != nil {
		return nil, err
	}
	data := endpointsData{New: scheduler.Endpoint{Queues: []scheduler.Queue{scheduler.DefaultQueue}, Concurrency: 10, TimeoutMS: 30_000,
		CompleteWithinMS: 900_000, BreakerFailures: 5, BreakerPauseMS: 30_000}}
	for _, e := range endpoints {
		data.Rows = append(data.Rows, newEndpointRow(e))
		if e.Name == r.URL.Query().Get("edit") {
			data.Edit = &e
		}
	}
	return &screen{Name: "endpoints", Title: "Endpoints", Data: data, Wire: map[string]any{"items": list(endpoints, u.config.Wire.Endpoint)},
		SQL: []Statement{statement(sql.Endpoints, map[string]any{"name": ""})}}, nil
}

func newEndpointRow(e scheduler.Endpoint) endpointRow {
	row := endpointRow{Endpoint: e, Now: time.Now()}
	row.Due = e.PausedAt == nil && e.State == scheduler.BreakerOpen && e.ProbeAt != nil && !e.ProbeAt.After(row.Now)
	switch {
	case e.PausedAt != nil:
		row.State, row.Title = "paused", "Nothing is delivered on request."
	case e.State == scheduler.BreakerOpen:
		row.State, row.Title = "open", fmt.Sprintf("It failed %d times in a row; its tasks wait for the next probe.", e.Failures)
	case e.State == scheduler.BreakerHalfOpen:
		row.State, row.Title = "half open", "One delivery is under way that decides."
	case e.Processes == 0:
		row.State, row.Title = "unserved", "No process delivers to it. Start one: scheduler worker --push"
	default:
		row.State, row.Title = "closed", "It is delivered to."
	}
	return row
}

func (u *UI) actEndpoint(r *http.Request) (string, error) {
	name, ctx := r.PostForm.Get("name"), r.Context()
	var err error
	said := ""
	switch r.PostForm.Get("do") {
	case "pause":
		err, said = u.client.PauseEndpoint(ctx, name), fmt.Sprintf("Endpoint %s is paused; its tasks wait.", name)
	case "resume":
		err, said = u.client.ResumeEndpoint(ctx, name), fmt.Sprintf("Endpoint %s is delivered to again.", name)
	case "probe":
		err, said = u.client.ResumeEndpoint(ctx, name), fmt.Sprintf("The next task of endpoint %s is its probe.", name)
	case "set":
		return u.setEndpoint(r)
	case "delete":
		err, said = u.client.DeleteEndpoint(ctx, name), fmt.Sprintf("Endpoint %s is deleted; its tasks stay.", name)
	default:
		return "", errBadForm
	}
	if errors.Is(err, scheduler.ErrNotFound) {
		return "There is no endpoint " + name + " any more.", nil
	}
	return said, err
}

// setEndpoint stores what the form says. The secrets of one that is there stay as they are.
func (u *UI) setEndpoint(r *http.Request) (string, error) {
	form := r.PostForm
	e := scheduler.NewEndpoint{Name: form.Get("name"), URL: strings.TrimSpace(form.Get("url")), Kinds: listed(form.Get("kinds"))}
	for _, queue := range listed(form.Get("queues")) {
		e.Queues = append(e.Queues, scheduler.Queue(queue))
	}
	whole := func(field string) (n int, err error) {
		text := form.Get(field)
		if text == "" {
			return 0, nil
		}
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > 1<<40 {
			return 0, &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: field, Rule: "a whole number, 1 and up"}}}
		}
		return n, nil
	}
	var timeout, within, pause int
	for field, into := range map[string]*int{"concurrency": &e.Concurrency, "breaker_failures": &e.BreakerFailures, "timeout_ms": &timeout,
		"complete_within_ms": &within, "breaker_pause_ms": &pause} {
		n, err := whole(field)
		if err != nil {
			return "", err
		}
		*into = n
	}
	e.Timeout, e.CompleteWithin, e.BreakerPause = time.Duration(timeout)*time.Millisecond, time.Duration(within)*time.Millisecond, time.Duration(pause)*time.Millisecond
	if text := form.Get("rate"); text != "" {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || rate == 0 {
			return "", &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: "rate", Rule: "0.001 to 10000"}}}
		}
		e.Rate = rate
	}
	stored, secret, err := u.client.SetEndpoint(r.Context(), e)
	if err != nil || secret == "" {
		return fmt.Sprintf("Endpoint %s is stored.", stored.Name), err
	}
	return fmt.Sprintf("Endpoint %s is stored. Keep its secret, it is shown this once: %s", stored.Name, secret), nil
}

// listed splits a list at commas and spaces.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == ' ' })
}
