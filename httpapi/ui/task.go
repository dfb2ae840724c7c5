package ui

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
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
	Scale   scale
	Paused  bool      // some of Lanes were not due for a while
	Errors  []mistake // newest first
	Lines   []scheduler.LogLine
	Before  bool // there are lines before those in Lines
	Earlier bool // there are attempts before those in Lanes
	Payload excerpt
	Result  excerpt
	Reports excerpt // data that was reported
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
	At                *moment  // shown in the place of Text
	Tags              []string // the same
}

func (u *UI) task(r *http.Request) (*screen, error) {
	id, err := scheduler.ParseTaskID(r.PathValue("id"))
	if err != nil {
		return nil, scheduler.ErrNotFound
	}
	d := taskData{Cursor: heard(r)}
	var attempts []scheduler.Attempt
	var audit []scheduler.Audit
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) {
		if d.Task, err = u.client.Task(ctx, id); err == nil {
			d.Lines, err = u.client.LastLogs(ctx, id, d.Cursor, logRows) // after the task: nobody follows one that is done, so no line may lack
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
	d.Payload, d.Result, d.Reports = newExcerpt(id, "payload", d.Task.Payload), newExcerpt(id, "result", d.Task.Result), newExcerpt(id, "data", d.Task.ProgressData)
	d.Lines, d.Before = lastLines(d.Lines, logBytes)
	d.Lanes, d.Scale = lanes(d.Task, attempts, now, retries(audit)...)
	d.Paused = slices.ContainsFunc(d.Lanes, func(l lane) bool { return l.Paused != "" })
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
	d.Edit.Open = r.URL.Query().Has("edit")
	d.Edit.Long = d.Payload.Whole != "" && !d.Edit.Open
	wire := map[string]any{"task": u.config.Wire.Task(d.Task), "attempts": list(attempts, u.config.Wire.Attempt),
		"logs": list(d.Lines, u.config.Wire.LogLine), "why": list(reasons, u.config.Wire.Reason),
		"audit": list(audit, u.config.Wire.Audit)}
	args := map[string]any{"id": id, "after": d.Cursor, "limit": logRows}
	return &screen{Name: "task", Reread: d.Task.State == scheduler.Running, Title: d.Row.title(), Data: d, Wire: wire, SQL: []Statement{statement(sql.Task, args),
		statement(sql.Attempts, args), statement(sql.LogsTail, args), statement(sql.Explain, args),
		statement(sql.AuditTask, map[string]any{"task": id, "before": int64(math.MaxInt64), "limit": 100})}}, nil
}

// heard is the last log line that a page which reads itself again has.
func heard(r *http.Request) int64 {
	line, _ := strconv.ParseInt(r.Header.Get("X-Refresh"), 10, 64) // else 0
	return max(0, line)
}

// title is that of the window: how the task is comes first, for a tab shows no more.
func (r row) title() string {
	state := string(r.State)
	if r.State == scheduler.Running && r.Known {
		state = fmt.Sprint(r.Percent, " %")
	}
	return state + " · " + r.Kind + " " + r.Short
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
		said := scheduler.Truncate(text(a.Error), shownError)
		if n := len(list) - 1; n >= 0 && list[n].Code == text(a.ErrorCode) && list[n].Error == said {
			list[n].Label = fmt.Sprintf("Attempts %d to %d", a.Attempt, list[n].first)
			continue
		}
		if len(list) == shownErrors {
			break
		}
		list = append(list, mistake{Label: fmt.Sprintf("Attempt %d", a.Attempt), Code: text(a.ErrorCode), Error: said, Stack: scheduler.Truncate(text(a.Stack), shownStack), first: a.Attempt})
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
	if len(t.Tags) > 0 {
		list = append(list, fact{Label: "Tags", Tags: t.Tags})
	}
	say("Priority", number(int64(t.Priority)), "")
	at("Created", &t.CreatedAt)
	if !t.State.Done() && t.State != scheduler.Running {
		at("Due", &t.RunAt)
	}
	started := "Started"
	if !t.State.Done() && t.State != scheduler.Running {
		started = "Last started"
	}
	at(started, t.StartedAt)
	at("Ended", t.FinishedAt)
	if t.Worker != nil {
		say("Worker", *t.Worker, "/workers")
	} else if t.WorkerID != nil {
		say("Worker", t.WorkerID.String()+" (gone)", "")
	}
	say("Attempts", attemptsOf(t), "")
	if t.TimeoutMS != nil {
		say("Timeout", exactly(time.Duration(*t.TimeoutMS)*time.Millisecond), "")
	}
	say("Backoff", backoffs(t.BackoffMS), "")
	at("Expires", t.ExpiresAt)
	at("Cancel asked for", t.CancelRequestedAt)
	say("Unique key", text(t.UniqueKey), "")
	say("Idempotency key", text(t.IdempotencyKey), "")
	say("Schedule", text(t.Schedule), "/schedules")
	at("Tick", t.TickAt)
	say("Topic", text(t.Topic), "/topics?topic="+query(text(t.Topic)))
	say("Trace", traceID(t), "")
	return list
}

// backoffs spells waits between attempts of the task's own: 1 s, 1 min, 1 h. "": it has none.
func backoffs(list []int64) string {
	said := make([]string, len(list))
	for i, ms := range list {
		said[i] = exactly(time.Duration(ms) * time.Millisecond)
	}
	return strings.Join(said, ", ")
}

// traceID is that of the trace that the task belongs to, as people look for it; "": none.
func traceID(t scheduler.Task) string {
	_, rest, _ := strings.Cut(text(t.TraceParent), "-")
	id, _, _ := strings.Cut(rest, "-")
	return id
}

func attemptsOf(t scheduler.Task) string {
	said := number(int64(t.Attempt)) + " so far, " + number(int64(t.Failures)) + " of " + plural(t.MaxAttempts, "allowed failure")
	if t.Crashes > 0 {
		said += ", " + plural(t.Crashes, "lost worker")
	}
	return said
}

// shell quotes a word for a POSIX shell.
func shell(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
