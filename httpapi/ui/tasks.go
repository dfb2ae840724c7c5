package ui

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// tasksData is what the list of tasks shows.
type tasksData struct {
	State      scheduler.State
	Tabs       []tab
	Fields     []field
	Filtered   bool
	Table      table
	Nothing    string // why the table is empty
	First      string // path of the first page; "": this is it
	Older      string // path of the next page; "": this is the last
	OlderLabel string
}

// tab leads to the tasks of a state.
type tab struct {
	Label, Path, Count string
	Here               bool
}

// field is one of the filters.
type field struct{ Name, Label, Value, Type, Hint, Step string }

const pageRows = 50

func (u *UI) tasks(r *http.Request) (*screen, error) {
	query := r.URL.Query()
	filter, err := filterOf(query)
	if err != nil {
		return nil, err
	}
	var counts []scheduler.StateCount
	var tasks []scheduler.Task
	var next scheduler.TaskID
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { counts, err = u.client.Counts(ctx); return err })
	group.Go(func() (err error) { tasks, next, err = u.list(ctx, filter); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	data := tasksData{State: filter.State, Tabs: tabs(query, filter.State, counts), Fields: fields(query), Table: newTable(tasks, heading(filter.State)),
		Nothing: "No task is there."}
	data.Table.Pick = true
	for _, f := range data.Fields {
		data.Filtered = data.Filtered || f.Value != ""
	}
	if data.Filtered {
		data.Nothing = "No task fits the filter."
	}
	if query.Get("before") != "" {
		data.First = with(query, "before", "")
	}
	wire := map[string]any{"items": list(tasks, u.config.Wire.Task), "next": nil}
	if !next.IsZero() {
		data.Older, data.OlderLabel = with(query, "before", next.String()), "Older"
		wire["next"] = strings.Replace(data.Older, "/tasks?", "/tasks.json?", 1)
	}
	return &screen{Name: "tasks", Title: "Tasks", Data: data, Wire: wire, SQL: []Statement{listStatement(filter),
		statement(sql.Counts, map[string]any{"cap": scheduler.CountCap})}}, nil
}

// filterOf reads the filters of a URL.
func filterOf(query url.Values) (f scheduler.Filter, err error) {
	f = scheduler.Filter{State: scheduler.State(query.Get("state")), Queue: scheduler.Queue(strings.TrimSpace(query.Get("queue"))),
		Kind: strings.TrimSpace(query.Get("kind")), Limit: pageRows}
	if before := query.Get("before"); before != "" {
		f.Before, err = scheduler.ParseTaskID(before)
	}
	return f, err
}

// fields are the filters as the form shows them.
func fields(query url.Values) []field {
	return []field{
		{Name: "kind", Label: "Kind", Value: query.Get("kind"), Type: "search", Hint: "mail.send"},
		{Name: "queue", Label: "Queue", Value: query.Get("queue"), Type: "search", Hint: "default"},
	}
}

// listStatement is the statement of the list.
func listStatement(f scheduler.Filter) Statement {
	file := sql.Tasks
	switch f.State {
	case scheduler.Ready:
		file = sql.TasksReady
	case scheduler.Scheduled:
		file = sql.TasksWaiting
	case scheduler.Failed:
		file = sql.TasksDead
	case scheduler.Running:
		file = sql.TasksRunning
	}
	return statement(file, map[string]any{"queue": string(f.Queue), "kind": f.Kind, "state": string(f.State), "before": f.Before, "limit": f.Limit + 1})
}

// heading says what the time in a list of tasks is.
func heading(state scheduler.State) string {
	switch state {
	case scheduler.Running:
		return "Started"
	case scheduler.Scheduled:
		return "Due"
	case scheduler.Completed, scheduler.Failed, scheduler.Cancelled:
		return "Ended"
	}
	return "Time"
}

// tabs are the states, with the filters that are set.
func tabs(query url.Values, here scheduler.State, counts []scheduler.StateCount) []tab {
	base := url.Values{}
	for name, values := range query {
		if name != "before" {
			base[name] = values
		}
	}
	list := []tab{{Label: "all", Path: with(base, "state", ""), Here: here == ""}}
	for _, c := range counts {
		if c.State == scheduler.Blocked && c.Tasks == 0 && here != c.State {
			continue // rare
		}
		list = append(list, tab{Label: string(c.State), Path: with(base, "state", string(c.State)), Count: count(c), Here: here == c.State})
	}
	return list
}

// with is the path of the list with one parameter changed; "" removes it.
func with(query url.Values, name, value string) string {
	changed := url.Values{}
	for key, values := range query {
		if len(values) > 0 && values[0] != "" {
			changed.Set(key, values[0])
		}
	}
	changed.Del(name)
	if value != "" {
		changed.Set(name, value)
	}
	if len(changed) == 0 {
		return "/tasks"
	}
	return "/tasks?" + changed.Encode()
}
