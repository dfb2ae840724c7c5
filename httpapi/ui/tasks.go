package ui

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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
	Bulks      []bulkRow
	Matching   []string // verbs for all tasks that match, not only those of the page
	Filter     string   // of those, as a query
	Nothing    string   // why the table is empty
	Never      bool     // there is no task at all
	First      string   // path of the first page; "": this is it
	Older      string   // path of the next page; "": this is the last
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
	var bulks []bulkRow
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { counts, err = u.client.CountStates(ctx); return err })
	group.Go(func() (err error) { bulks, err = u.bulks(r.WithContext(ctx)); return err })
	group.Go(func() (err error) { tasks, next, err = u.client.Tasks(ctx, filter); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	data := tasksData{State: filter.State, Fields: fields(query), Table: newTable(tasks, filter.State), Nothing: "There is no such task."}
	data.Table.Pick, data.Bulks = true, bulks
	if len(tasks) > 0 {
		data.Matching, data.Filter = matching(filter.State), strings.TrimPrefix(with(query, "before", ""), "/tasks?")
	}
	for _, f := range data.Fields {
		data.Filtered = data.Filtered || f.Value != ""
	}
	data.Tabs = tabs(query, filter.State, counts, !data.Filtered)
	switch data.Never = filter.State == "" && query.Get("before") == ""; {
	case data.Filtered:
		data.Nothing, data.Never = "No task fits the filter.", false
	case data.Never:
		data.Nothing = "There is no task yet. Submit one:"
	}
	if query.Get("before") != "" {
		data.First = with(query, "before", "")
	}
	wire := map[string]any{"items": list(tasks, u.config.Wire.Task), "next": nil}
	if !next.IsZero() {
		data.Older, data.OlderLabel = with(query, "before", next.String()), "Older"
		if len(tasks) < filter.Limit {
			data.OlderLabel = "Look further back"
			data.Nothing = "Nothing found among the " + number(scheduler.ScanMost) + " tasks that were looked at."
		}
		wire["next"] = strings.Replace(data.Older, "/tasks?", "/tasks.json?", 1)
	}
	return &screen{Name: "tasks", Title: "Tasks", Data: data, Wire: wire, SQL: []Statement{listStatement(filter),
		statement(sql.Counts, map[string]any{"cap": scheduler.CountCap})}}, nil
}

// filterOf reads the filters of a URL. Times are UTC, with or without seconds and zone.
func filterOf(query url.Values) (f scheduler.Filter, err error) {
	get := func(name string) string { return strings.TrimSpace(query.Get(name)) }
	f = scheduler.Filter{State: scheduler.State(get("state")), Queue: scheduler.Queue(get("queue")), Kind: get("kind"), Tag: get("tag"),
		Text: get("text"), ErrorGroup: get("group"), Limit: pageRows}
	if f.ErrorGroup != "" && f.State == "" {
		f.State = scheduler.Failed
	}
	if f.CreatedAfter, err = timeOf("since", get("since")); err != nil {
		return f, err
	}
	if f.CreatedBefore, err = timeOf("until", get("until")); err != nil {
		return f, err
	}
	if before := get("before"); before != "" {
		f.Before, err = scheduler.ParseTaskID(before)
	}
	return f, err
}

// timeOf reads a time as browsers and programs send it; the zero time for "".
func timeOf(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339, "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: name, Rule: "a time like 2026-11-21T09:30, in UTC"}}}
}

// fields are the filters as the form shows them.
func fields(query url.Values) []field {
	list := []field{
		{Name: "kind", Label: "Kind", Type: "search", Hint: "mail.send"},
		{Name: "queue", Label: "Queue", Type: "search", Hint: "default"},
		{Name: "tag", Label: "Tag", Type: "search", Hint: "user:9"},
		{Name: "text", Label: "Text", Type: "search", Hint: "error, payload, id"},
		{Name: "group", Label: "Error group", Type: "search"},
		{Name: "since", Label: "Created since (UTC)", Type: "datetime-local"},
		{Name: "until", Label: "Created until (UTC)", Type: "datetime-local"},
	}
	for i := range list {
		list[i].Value = query.Get(list[i].Name)
	}
	return slices.DeleteFunc(list, func(f field) bool { return f.Name == "group" && f.Value == "" }) // one comes to it from the dead letters
}

// listStatement is the statement of a list.
func listStatement(f scheduler.Filter) Statement { return statement(f.Statement()) }

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
	return "When"
}

// tabs are the states, with the filters that are set. counted: with how many tasks have it, of all that there are.
func tabs(query url.Values, here scheduler.State, counts []scheduler.StateCount, counted bool) []tab {
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
		t := tab{Label: string(c.State), Path: with(base, "state", string(c.State)), Here: here == c.State}
		if counted {
			t.Count = count(c)
		}
		list = append(list, t)
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
