package ui

import (
	"fmt"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// table is a table of tasks.
type table struct {
	Rows  []row
	Pick  bool   // rows can be selected
	Mixed bool   // of several states
	Says  string // what a row says beside its bar
	When  string // what the time of a row is
}

// row is a task as lists show it.
type row struct {
	ID       scheduler.TaskID
	Short    string // end of the id
	Kind     string
	Queue    string
	State    scheduler.State
	Revision int64
	Attempt  string
	Percent  int
	Known    bool   // Percent is
	Note     string // the last message, or error
	At       moment
	What     string // happened then
}

// moment is a time, and when it is looked at.
type moment struct{ T, Now time.Time }

func newRow(t scheduler.Task, now time.Time) row {
	r := row{ID: t.ID, Short: t.ID.String()[24:], Kind: t.Kind, Queue: string(t.Queue), State: t.State, Revision: t.Revision, At: moment{when(t), now}, What: "created"}
	switch {
	case t.FinishedAt != nil && t.State.Done():
		r.What = string(t.State)
	case t.StartedAt != nil && t.State == scheduler.Running:
		r.What = "started"
	case t.State == scheduler.Scheduled:
		r.What = "due"
	}
	r.Percent, r.Known = percent(t)
	if t.Attempt > 0 {
		r.Attempt = fmt.Sprint(t.Attempt)
	}
	switch {
	case t.State == scheduler.Running && t.CancelRequestedAt != nil:
		r.Note = "cancelling"
	case t.State == scheduler.Running: // an error is of an attempt before
		r.Note = text(t.ProgressMessage)
	case t.State == scheduler.Completed && t.StartedAt != nil && t.FinishedAt != nil: // an error is of an attempt before
		r.Note = "took " + lasted(max(0, t.FinishedAt.Sub(*t.StartedAt)))
	case t.Error != nil && t.State == scheduler.Cancelled:
		r.Note = *t.Error
	case t.Error != nil:
		r.Note = text(t.ErrorCode) + ": " + *t.Error
	}
	r.Note = scheduler.Truncate(r.Note, 160)
	return r
}

// when is the time that matters most for a task in its state.
func when(t scheduler.Task) time.Time {
	switch {
	case t.FinishedAt != nil && t.State.Done():
		return *t.FinishedAt
	case t.StartedAt != nil && t.State == scheduler.Running:
		return *t.StartedAt
	case t.State == scheduler.Scheduled:
		return t.RunAt
	}
	return t.CreatedAt
}

// newTable is the table of tasks in a state; "": in any.
func newTable(tasks []scheduler.Task, state scheduler.State) table {
	t, now := table{Mixed: state == "", Says: "Progress", When: heading(state)}, time.Now()
	if state == scheduler.Failed || state == scheduler.Cancelled {
		t.Says = "Why"
	}
	for _, task := range tasks {
		t.Rows = append(t.Rows, newRow(task, now))
	}
	return t
}

// list is how the JSON of a page shows several things of a kind.
func list[T any](items []T, wire func(T) any) []any {
	shown := make([]any, len(items))
	for i, item := range items {
		shown[i] = wire(item)
	}
	return shown
}
