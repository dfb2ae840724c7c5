package ui

import (
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
)

// happening is one thing that happened to a task.
type happening struct {
	At     moment
	Verb   string
	State  string           // that it has by it
	TaskID scheduler.TaskID // zero: it was not about one task
	Short  string
	Kind   string // of the task, or what else it was about
	Detail string
}

const (
	tailTasks = 200 // newest tasks that the tail looks at
	tailRows  = 100 // that it shows
)

// events shows what happened last: to the newest tasks, to those that run, and to the newest dead letters; and what people did.
func (u *UI) events(r *http.Request) (*screen, error) {
	filters := []scheduler.Filter{{Limit: tailTasks}, {State: scheduler.Running, Limit: tailTasks}, {State: scheduler.Failed, Limit: 50}}
	found := make([][]scheduler.Task, len(filters))
	group, ctx := errgroup.WithContext(r.Context())
	for i, filter := range filters {
		group.Go(func() (err error) { found[i], _, err = u.client.Tasks(ctx, filter); return err })
	}
	var audit []scheduler.Audit
	group.Go(func() (err error) {
		audit, _, err = u.client.Audit(ctx, scheduler.AuditFilter{Limit: tailRows})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	seen := map[scheduler.TaskID]bool{}
	var tail []happening
	for _, t := range slices.Concat(found...) {
		if !seen[t.ID] {
			seen[t.ID] = true
			tail = append(tail, happenings(t, time.Now())...)
		}
	}
	for _, d := range deeds(audit, time.Now()) {
		tail = append(tail, d.happening())
	}
	slices.SortStableFunc(tail, func(a, b happening) int { return b.At.T.Compare(a.At.T) })
	tail = tail[:min(len(tail), tailRows)]
	wire := []map[string]any{}
	for _, h := range tail {
		event := map[string]any{"at": h.At.T.UTC(), "verb": h.Verb, "task": nil, "target": h.Kind, "detail": h.Detail}
		if !h.TaskID.IsZero() {
			event["task"] = h.TaskID
		}
		wire = append(wire, event)
	}
	return &screen{Name: "events", Title: "Events", Data: tail, Wire: map[string]any{"items": wire},
		SQL: []Statement{listStatement(filters[0]), listStatement(filters[1]), listStatement(filters[2])}}, nil
}

// happenings are what a task's row tells of its life.
func happenings(t scheduler.Task, now time.Time) []happening {
	base := happening{TaskID: t.ID, Short: t.ID.String()[24:], Kind: t.Kind}
	var list []happening
	say := func(at *time.Time, verb, state, detail string) {
		if at == nil {
			return
		}
		h := base
		h.At, h.Verb, h.State, h.Detail = moment{*at, now}, verb, state, scheduler.Truncate(detail, 200)
		list = append(list, h)
	}
	from := "into " + string(t.Queue)
	if t.Schedule != nil {
		from += " by schedule " + *t.Schedule
	}
	say(&t.CreatedAt, "submitted", "ready", from)
	on := ""
	if t.Worker != nil {
		on = "on " + *t.Worker
	}
	if t.Attempt > 0 {
		say(t.StartedAt, "started", "running", "attempt "+number(int64(t.Attempt))+" "+on)
	}
	if t.State == scheduler.Running && t.ProgressMessage != nil {
		say(t.ProgressAt, "reported", "running", *t.ProgressMessage)
	}
	if t.State.Done() {
		say(t.FinishedAt, string(t.State), string(t.State), text(t.Error))
	}
	return list
}
