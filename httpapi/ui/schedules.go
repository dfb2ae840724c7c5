package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// schedulesData is what the page of schedules shows.
type schedulesData struct {
	Rows []scheduleRow
	Edit *scheduleRow // the one whose form is open; nil: none
	New  scheduleRow  // an empty form
}

// scheduleRow is a schedule as its page shows it.
type scheduleRow struct {
	scheduler.Schedule
	Words string // the expression in English; may be empty
	Now   time.Time
	Next  []time.Time
	Local string // the next tick in its own zone
	Dots  []dot  // its last ticks, oldest first
	Last  *moment
	Late  bool // the next tick should have been
}

// dot is a tick that made a task.
type dot struct {
	TaskID scheduler.TaskID
	At     time.Time
	State  string
	Title  string
}

const (
	shownDots = 14
	shownNext = 2
)

func (u *UI) schedules(r *http.Request) (*screen, error) {
	var schedules []scheduler.Schedule
	var ticks []scheduler.Fired
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { schedules, err = u.client.Schedules(ctx); return err })
	group.Go(func() (err error) { ticks, err = u.client.LastTicks(ctx, shownDots); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	fired := map[string][]dot{}
	for i := len(ticks) - 1; i >= 0; i-- { // oldest first
		d := dot{TaskID: ticks[i].TaskID, At: ticks[i].TickAt, State: "gone"}
		if ticks[i].State != nil {
			d.State = string(*ticks[i].State)
		}
		d.Title = stamp(ticks[i].TickAt) + ": " + d.State
		fired[ticks[i].Schedule] = append(fired[ticks[i].Schedule], d)
	}
	data := schedulesData{New: scheduleRow{Schedule: scheduler.Schedule{Zone: "UTC", Queue: scheduler.DefaultQueue, Payload: json.RawMessage("{}"), MaxAttempts: 10}}}
	for _, s := range schedules {
		row := newScheduleRow(s)
		row.Dots = fired[s.Name]
		if n := len(row.Dots); n > 0 {
			row.Last = &moment{row.Dots[n-1].At, row.Now}
		}
		data.Rows = append(data.Rows, row)
		if s.Name == r.URL.Query().Get("edit") {
			data.Edit = &row
		}
	}
	return &screen{Name: "schedules", Title: "Schedules", Data: data, Wire: map[string]any{"items": list(schedules, u.config.Wire.Schedule)},
		SQL: []Statement{statement(sql.Schedules, map[string]any{"name": ""}), statement(sql.ScheduleTicks, map[string]any{"limit": shownDots})}}, nil
}

func newScheduleRow(s scheduler.Schedule) scheduleRow {
	row := scheduleRow{Schedule: s, Words: cronWords(s.Expression), Now: time.Now()}
	cron, err := scheduler.ParseCron(s.Expression, s.Zone)
	if err != nil || s.NextRunAt == nil || s.PausedAt != nil {
		return row
	}
	row.Late = row.Now.Sub(*s.NextRunAt) > farBehind
	row.Next = append([]time.Time{*s.NextRunAt}, cron.NextN(*s.NextRunAt, shownNext-1)...)
	if zone, err := time.LoadLocation(s.Zone); err == nil {
		row.Local = s.NextRunAt.In(zone).Format("2006-01-02 15:04 MST")
	}
	return row
}

func (u *UI) actSchedule(r *http.Request) (string, error) {
	name, ctx := r.PostForm.Get("name"), r.Context()
	var err error
	said := ""
	switch r.PostForm.Get("do") {
	case "trigger":
		var id scheduler.TaskID
		id, err = u.client.TriggerSchedule(ctx, name)
		said = fmt.Sprintf("Schedule %s made task %s.", name, id)
	case "pause":
		err, said = u.client.PauseSchedule(ctx, name), fmt.Sprintf("Schedule %s is paused.", name)
	case "resume":
		err, said = u.client.ResumeSchedule(ctx, name), fmt.Sprintf("Schedule %s fires again from its next tick on.", name)
	case "delete":
		err, said = u.client.DeleteSchedule(ctx, name), fmt.Sprintf("Schedule %s is deleted; tasks that it made stay.", name)
	case "set":
		said, err = u.setSchedule(r)
	default:
		return "", errBadForm
	}
	if errors.Is(err, scheduler.ErrNotFound) {
		return "There is no schedule " + name + " any more.", nil
	}
	return said, err
}

// setSchedule stores what the form says. What the form has no field for stays as it is.
func (u *UI) setSchedule(r *http.Request) (string, error) {
	form := r.PostForm
	s := scheduler.NewSchedule{Name: form.Get("name"), Expression: form.Get("expression"), Zone: form.Get("zone"), Kind: form.Get("kind"),
		Queue: scheduler.Queue(form.Get("queue")), Payload: json.RawMessage(form.Get("payload"))}
	if form.Get("payload") == "" {
		s.Payload = nil
	}
	before, err := u.client.Schedule(r.Context(), s.Name)
	switch {
	case err == nil:
		s.Priority, s.MaxAttempts = before.Priority, before.MaxAttempts
		if before.TimeoutMS != nil {
			s.Timeout = time.Duration(*before.TimeoutMS) * time.Millisecond
		}
		for _, ms := range before.BackoffMS {
			s.Backoff = append(s.Backoff, time.Duration(ms)*time.Millisecond)
		}
	case !errors.Is(err, scheduler.ErrNotFound):
		return "", err
	}
	if n := form.Get("max_attempts"); n != "" {
		if s.MaxAttempts, err = strconv.Atoi(n); err != nil {
			return "", &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: "max_attempts", Rule: "1 to 1000"}}}
		}
	}
	set, err := u.client.SetSchedule(r.Context(), s)
	if err != nil {
		return "", err
	}
	said := fmt.Sprintf("Schedule %s is stored.", set.Name)
	if set.NextRunAt != nil {
		said += " It fires next at " + stamp(*set.NextRunAt) + "."
	}
	return said, nil
}
