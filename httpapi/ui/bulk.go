package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// bulkRow is something that is being done to all tasks of a filter, or just was.
type bulkRow struct {
	scheduler.Bulk
	Words   string // what is done to what
	Percent int
	Known   bool // Percent is
	Now     time.Time
}

const (
	shownBulks = 5
	bulkStays  = 2 * time.Minute // on the page, once it is over
)

// bulks are those that go on, and those that have ended a moment ago.
func (u *UI) bulks(r *http.Request) ([]bulkRow, error) {
	list, err := u.client.Bulks(r.Context(), shownBulks)
	var rows []bulkRow
	for _, b := range list {
		if b.FinishedAt != nil && time.Since(*b.FinishedAt) > bulkStays {
			continue
		}
		row := bulkRow{Bulk: b, Words: bulkWords(b.Verb, b.Filter), Now: time.Now()}
		if b.Total != nil && *b.Total > 0 {
			row.Percent, row.Known = int(min(100, 100*(b.Done+b.Skipped)/(*b.Total))), true
		}
		rows = append(rows, row)
	}
	return rows, err
}

// bulkWords says what is done to what: Retry all failed tasks of queue mail.
func bulkWords(verb string, filter json.RawMessage) string {
	var f map[string]any
	if json.Unmarshal(filter, &f) != nil {
		return verb
	}
	said := strings.ToUpper(verb[:1]) + verb[1:] + " all "
	if state, ok := f["state"]; ok {
		said += fmt.Sprint(state) + " "
	}
	said += "tasks"
	for _, part := range []struct{ name, words string }{{"kind", " of kind %v"}, {"queue", " of queue %v"}, {"tag", " tagged %v"}, {"q", " with “%v”"},
		{"error_group", " of error group %v"}, {"created_after", " made since %v"}} { // until when is always there: what was made later is left alone
		if value, ok := f[part.name]; ok {
			said += fmt.Sprintf(part.words, value)
		}
	}
	return said
}

// matching returns the verbs that "all matching" offers for a state; "": for all states at once nothing is offered.
func matching(state scheduler.State) []string {
	switch state {
	case scheduler.Failed, scheduler.Cancelled:
		return []string{"retry", "delete"}
	case scheduler.Completed:
		return []string{"delete"}
	case scheduler.Blocked, scheduler.Scheduled, scheduler.Ready, scheduler.Running:
		return []string{"cancel"}
	}
	return nil
}

// actBulk begins or ends a bulk. The filter is the query of the list that the form is on.
func (u *UI) actBulk(r *http.Request) (string, error) {
	form := r.PostForm
	if form.Get("do") == "stop" {
		id, err := scheduler.ParseBulkID(form.Get("id"))
		if err != nil {
			return "", err
		}
		return "It stops; what was done stays done.", u.client.CancelBulk(r.Context(), id)
	}
	query, err := url.ParseQuery(form.Get("filter"))
	if err != nil {
		return "", errBadForm
	}
	filter, err := filterOf(query)
	if err != nil {
		return "", err
	}
	filter.Limit, filter.Before = 0, scheduler.TaskID{}
	bulk, err := u.client.BeginBulk(r.Context(), form.Get("do"), filter, form.Get("reason"))
	if err != nil {
		return "", err
	}
	count := "all that match"
	if bulk.Total != nil {
		count = plural(int(*bulk.Total), "task")
	}
	return fmt.Sprintf("It began to %s %s.", bulk.Verb, count), nil
}
