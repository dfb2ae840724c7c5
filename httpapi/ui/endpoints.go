package ui

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// endpointRow is an endpoint as its page shows it.
type endpointRow struct {
	scheduler.Endpoint
	Now   time.Time
	State string // what people look for first: paused, open, half open, closed, or unserved
	Title string // the same as a sentence
}

func (u *UI) endpoints(r *http.Request) (*screen, error) {
	endpoints, err := u.client.Endpoints(r.Context())
	if err != nil {
		return nil, err
	}
	var rows []endpointRow
	for _, e := range endpoints {
		rows = append(rows, newEndpointRow(e))
	}
	return &screen{Name: "endpoints", Title: "Endpoints", Data: rows, Wire: map[string]any{"items": list(endpoints, u.config.Wire.Endpoint)},
		SQL: []Statement{statement(sql.Endpoints, map[string]any{"name": ""})}}, nil
}

func newEndpointRow(e scheduler.Endpoint) endpointRow {
	row := endpointRow{Endpoint: e, Now: time.Now()}
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
