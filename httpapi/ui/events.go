package ui

import (
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
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

// events shows what happened last: to the newest tasks, to those that run or wait for their time, and to the newest dead letters;
// which attempts failed; and what people did.
func (u *UI) events(r *http.Request) (*screen, error) {
	filters := []scheduler.Filter{{Limit: tailTasks}, {State: scheduler.Running, Limit: tailTasks}, {State: scheduler.Scheduled, Limit: tailTasks},
		{State: scheduler.Failed, Limit: 50}}
	found := make([][]scheduler.Task, len(filters))
	group, ctx := errgroup.WithContext(r.Context())
	for i, filter := range filters {
		group.Go(func() (err error) { found[i], _, err = u.client.Tasks(ctx, filter); return err })
	}
	var attempts []scheduler.EndedAttempt
	group.Go(func() (err error) { attempts, err = u.client.RecentAttempts(ctx, tailRows); return err })
	var audit []scheduler.Audit
	group.Go(func() (err error) {
		audit, _, err = u.client.Audit(ctx, scheduler.AuditFilter{Limit: tailRows})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	tail := happened(slices.Concat(found...), attempts)
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
	statements := []Statement{statement(sql.AttemptsRecent, map[string]any{"limit": tailRows})}
	for _, filter := range filters {
		statements = append(statements, listStatement(filter))
	}
	return &screen{Name: "events", Title: "Events", Reread: true, Data: tail, Wire: map[string]any{"items": wire}, SQL: statements}, nil
}

// happened is what happened to tasks, and attempts that did not complete theirs.
func happened(tasks []scheduler.Task, attempts []scheduler.EndedAttempt) (tail []happening) {
	seen, now := map[scheduler.TaskID]scheduler.Task{}, time.Now()
	for _, t := range tasks {
		if _, ok := seen[t.ID]; ok {
			continue
		}
		seen[t.ID] = t
		tail = append(tail, happenings(t, now)...)
	}
	for _, a := range attempts {
		if t, ok := seen[a.TaskID]; ok && t.State.Done() && t.Attempt == a.Attempt {
			continue // its end is that of the task
		}
		tail = append(tail, tries(a, now)...)
	}
	return tail
}

// outcomes are the words for how an attempt ended.
var outcomes = map[string]string{"failed": "attempt failed", "snoozed": "snoozed", "released": "handed back", "crashed": "worker lost", "cancelled": "stopped"}

// tries are the beginning and the end of an attempt that did not complete its task.
func tries(a scheduler.EndedAttempt, now time.Time) []happening {
	on := "attempt " + number(int64(a.Attempt))
	if a.Worker != nil {
		on += " on " + *a.Worker
	}
	base := happening{TaskID: a.TaskID, Short: a.TaskID.String()[24:], Kind: a.Kind}
	began, ended := base, base
	began.At, began.Verb, began.State, began.Detail = moment{a.StartedAt, now}, "started", "running", on
	ended.At, ended.Verb, ended.State = moment{a.EndedAt, now}, outcomes[a.Outcome], a.Outcome
	ended.Detail = on + ", after " + lasted(max(0, a.EndedAt.Sub(a.StartedAt)))
	if a.Error != nil {
		ended.Detail += ": " + *a.Error
	}
	ended.Detail = scheduler.Truncate(ended.Detail, 200)
	return []happening{began, ended}
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
	if t.Attempt > 0 && (t.State == scheduler.Running || t.State.Done()) { // else a row of the attempt says so
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
