package ui

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// newData is what the page for a new task shows.
type newData struct {
	Kind, Queue string
	Edit        editData
	From        string   // the task that it is filled in from; "": none
	Kinds       []string // that live workers run
	Queues      []string // that they take from
}

// newTask shows a form for a task, filled in from the one that the query names.
func (u *UI) newTask(r *http.Request) (*screen, error) {
	data := newData{Queue: string(scheduler.DefaultQueue), Edit: editData{Payload: "{}", Priority: "0", MaxAttempts: "10"}}
	var workers []scheduler.Worker
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { workers, err = u.client.Workers(ctx); return err })
	if from := r.URL.Query().Get("from"); from != "" {
		group.Go(func() error {
			id, err := scheduler.ParseTaskID(from)
			if err != nil {
				return scheduler.ErrNotFound
			}
			t, err := u.client.Task(ctx, id)
			data.Kind, data.Queue, data.Edit, data.From = t.Kind, string(t.Queue), newEdit(t), id.String()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	data.Edit.RunAt = "" // now
	kinds, queues := map[string]bool{}, map[string]bool{}
	for _, w := range workers {
		for _, kind := range w.Kinds {
			kinds[kind] = w.Live || kinds[kind]
		}
		for _, queue := range w.Queues {
			queues[string(queue)] = w.Live || queues[string(queue)]
		}
	}
	data.Kinds, data.Queues = slices.Sorted(maps.Keys(kinds)), slices.Sorted(maps.Keys(queues))
	return &screen{Name: "new", Title: "New task", Data: data, Wire: map[string]any{"kinds": data.Kinds, "queues": data.Queues}, SQL: []Statement{statement(sql.Workers, nil)}}, nil
}

// submitTask stores what the form says, and goes to it.
func (u *UI) submitTask(r *http.Request) (string, error) {
	form := r.PostForm
	t := scheduler.NewTask{Kind: strings.TrimSpace(form.Get("kind")), Queue: scheduler.Queue(strings.TrimSpace(form.Get("queue"))), Tags: listed(form.Get("tags"))}
	if payload := strings.TrimSpace(form.Get("payload")); payload != "" {
		t.Payload = json.RawMessage(payload)
	}
	var err error
	if t.Priority, err = wholeNumber(form, "priority"); err != nil {
		return "", err
	}
	if t.MaxAttempts, err = wholeNumber(form, "max_attempts"); err != nil {
		return "", err
	}
	if t.RunAt, err = timeOf("run_at", form.Get("run_at")); err != nil {
		return "", err
	}
	s, err := u.client.SubmitByHand(r.Context(), t)
	if err != nil {
		return "", err
	}
	form.Set("back", "/tasks/"+s.ID.String()) // where the browser goes next
	return fmt.Sprintf("Task %s is submitted.", s.ID), nil
}
