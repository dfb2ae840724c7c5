package ui

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// taskData is what the page of a task shows.
type taskData struct {
	Task    scheduler.Task
	Row     row
	Reasons []scheduler.Reason
	Lanes   []lane
	Errors  []mistake // newest first
	Lines   []scheduler.LogLine
	Earlier bool // there are attempts before those in Lanes
	Cursor  int64
	Facts   []fact
	Curl    string
	Can     can
	Edit    editData
	Audit   []deed // newest first
}

// can says what may be done to the task as it is.
type can struct{ Retry, Cancel, Run, Edit, Delete bool }

// fact is a line of the table of details.
type fact struct {
	Label, Text, Path string
	At                *moment // shown in the place of Text
}

const logRows = 1000 // lines that the page shows

func (u *UI) task(r *http.Request) (*screen, error) {
	id, err := scheduler.ParseTaskID(r.PathValue("id"))
	if err != nil {
		return nil, scheduler.ErrNotFound
	}
	var d taskData
	var attempts []scheduler.Attempt
	var audit []scheduler.Audit
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) {
		if d.Task, err = u.client.Task(ctx, id); err == nil {
			d.Lines, err = u.client.Logs(ctx, id, 0, logRows) // after the task: nobody follows one that is done, so no line may lack
		}
		return err
	})
	group.Go(func() (err error) { attempts, err = u.client.Attempts(ctx, id); return err })
	group.Go(func() (err error) {
		audit, _, err = u.client.Audit(ctx, scheduler.AuditFilter{Task: id, Limit: 100})
		return err
	})
	group.Go(func() (err error) { d.Reasons, err = u.client.Explain(ctx, id); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	now := time.Now()
	d.Row, d.Facts, d.Curl = newRow(d.Task, now), facts(d.Task, now), curl(r, d.Task)
	d.Lanes = lanes(d.Task, attempts, now)
	reasons := d.Reasons
	d.Earlier, d.Errors = len(attempts) > mostLanes, mistakes(attempts)
	if d.Task.State == scheduler.Completed || d.Task.State == scheduler.Running && len(d.Reasons) == 1 {
		d.Reasons = nil // the rest of the page says it
	}
	if n := len(d.Lines); n > 0 {
		d.Cursor = d.Lines[n-1].ID
	}
	final := d.Task.State.Done()
	d.Can = can{Retry: d.Task.State == scheduler.Failed || d.Task.State == scheduler.Cancelled, Cancel: !final && d.Task.CancelRequestedAt == nil,
		Run: d.Task.State == scheduler.Scheduled, Edit: d.Task.State != scheduler.Running && d.Task.State != scheduler.Completed, Delete: final}
	d.Edit, d.Audit = newEdit(d.Task), deeds(audit, now)
	wire := map[string]any{"task": u.config.Wire.Task(d.Task), "attempts": list(attempts, u.config.Wire.Attempt),
		"logs": list(d.Lines, u.config.Wire.LogLine), "why": list(reasons, u.config.Wire.Reason),
		"audit": list(audit, u.config.Wire.Audit)}
	args := map[string]any{"id": id, "after": 0, "limit": logRows}
	return &screen{Name: "task", Reread: d.Task.State == scheduler.Running, Title: d.Task.Kind + " " + d.Row.Short, Data: d, Wire: wire, SQL: []Statement{statement(sql.Task, args),
		statement(sql.Attempts, args), statement(sql.Logs, args), statement(sql.Explain, args),
		statement(sql.AuditTask, map[string]any{"task": id, "before": int64(math.MaxInt64), "limit": 100})}}, nil
}

// mistake is what attempts in a row failed with.
type mistake struct {
	Label string // of the attempts
	Code  string
	Error string
	Stack string // of the newest of them
	first int
}

// mistakes are the errors of attempts, newest first; attempts in a row that failed with the same words are one.
func mistakes(attempts []scheduler.Attempt) (list []mistake) {
	for _, a := range slices.Backward(attempts) {
		if a.Error == nil && a.Stack == nil {
			continue
		}
		if n := len(list) - 1; n >= 0 && list[n].Code == text(a.ErrorCode) && list[n].Error == text(a.Error) {
			list[n].Label = fmt.Sprintf("Attempts %d to %d", a.Attempt, list[n].first)
			continue
		}
		list = append(list, mistake{Label: fmt.Sprintf("Attempt %d", a.Attempt), Code: text(a.ErrorCode), Error: text(a.Error), Stack: text(a.Stack), first: a.Attempt})
	}
	return list
}

// facts are the details of a task.
func facts(t scheduler.Task, now time.Time) []fact {
	var list []fact
	say := func(label, text, path string) {
		if text != "" {
			list = append(list, fact{Label: label, Text: text, Path: path})
		}
	}
	at := func(label string, t *time.Time) {
		if t != nil {
			list = append(list, fact{Label: label, At: &moment{*t, now}})
		}
	}
	say("Queue", string(t.Queue), "/tasks?queue="+query(string(t.Queue)))
	say("Kind", t.Kind, "/tasks?kind="+query(t.Kind))
	say("Tags", strings.Join(t.Tags, ", "), "")
	say("Priority", number(int64(t.Priority)), "")
	at("Created", &t.CreatedAt)
	if !t.State.Done() && t.State != scheduler.Running {
		at("Due", &t.RunAt)
	}
	at("Started", t.StartedAt)
	at("Ended", t.FinishedAt)
	if t.Worker != nil {
		say("Worker", *t.Worker, "/workers")
	} else if t.WorkerID != nil {
		say("Worker", t.WorkerID.String()+" (gone)", "")
	}
	say("Attempts", attemptsOf(t), "")
	if t.TimeoutMS != nil {
		say("Timeout", lasted(time.Duration(*t.TimeoutMS)*time.Millisecond), "")
	}
	at("Expires", t.ExpiresAt)
	at("Cancel asked for", t.CancelRequestedAt)
	say("Unique key", text(t.UniqueKey), "")
	say("Idempotency key", text(t.IdempotencyKey), "")
	say("Schedule", text(t.Schedule), "/schedules")
	at("Tick", t.TickAt)
	say("Topic", text(t.Topic), "/topics")
	return list
}

func attemptsOf(t scheduler.Task) string {
	said := number(int64(t.Attempt)) + " so far, " + number(int64(t.Failures)) + " of " + plural(t.MaxAttempts, "allowed failure")
	if t.Crashes > 0 {
		said += ", " + plural(t.Crashes, "lost worker")
	}
	return said
}

// curl is a command that submits the same task again.
func curl(r *http.Request, t scheduler.Task) string {
	body := map[string]any{"kind": t.Kind, "queue": t.Queue, "payload": t.Payload}
	if t.Priority != 0 {
		body["priority"] = t.Priority
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	scheme := "http"
	if secure(r) {
		scheme = "https"
	}
	return "curl " + shell(scheme+"://"+r.Host+"/v1/tasks") + ` -H "Authorization: Bearer $SCHEDULER_TOKEN" -H 'Content-Type: application/json' -d ` + shell(string(encoded))
}

// shell quotes a word for a POSIX shell.
func shell(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
