package ui

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// query spells a value of a URL's query.
func query(value string) string { return url.QueryEscape(value) }

// queueRow is a queue as its page shows it.
type queueRow struct {
	scheduler.QueueStatus
	Age    string // of its oldest ready task
	Rate   string // tasks that ended in the last whole minute
	Spark  template.HTML
	Counts map[string]string
}

func (u *UI) queues(r *http.Request) (*screen, error) {
	var queues []scheduler.QueueStatus
	var sparks map[scheduler.Queue]series
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { queues, err = u.client.Queues(ctx); return err })
	group.Go(func() (err error) { sparks, err = u.sparks(ctx); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var rows []queueRow
	for _, q := range queues {
		row := queueRow{QueueStatus: q, Rate: sparks[q.Name].perMinute(), Spark: sparks[q.Name].spark(), Counts: map[string]string{"ready": capped(q.Ready), "scheduled": capped(q.Scheduled),
			"running": number(int64(q.Running)), "failed": capped(q.Failed)}}
		if q.OldestReadyMS != nil {
			row.Age = lasted(oldest(q))
		}
		rows = append(rows, row)
	}
	return &screen{Name: "queues", Title: "Queues", Reread: true, Data: rows, Wire: map[string]any{"items": list(queues, u.config.Wire.Queue)},
		SQL: []Statement{statement(sql.Queues, map[string]any{"cap": scheduler.CountCap})}}, nil
}

// capped spells a count that stops at CountCap.
func capped(n int) string {
	if n >= scheduler.CountCap {
		return number(int64(n)) + "+"
	}
	return number(int64(n))
}

// workerRow is a worker as its page shows it.
type workerRow struct {
	scheduler.Worker
	Now   time.Time
	Tasks []row // that it runs
	More  int   // that it runs besides
}

// About is where and what it is, as far as it says so.
func (w workerRow) About() string {
	var parts []string
	if w.Host != w.Name {
		parts = append(parts, w.Host)
	}
	if w.PID > 0 {
		parts = append(parts, "pid "+strconv.Itoa(w.PID))
	}
	parts = append(parts, w.Language, w.Version)
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}

const workerTasks = 5 // shown of one worker

func (u *UI) workers(r *http.Request) (*screen, error) {
	var workers []scheduler.Worker
	var running []scheduler.Task
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { workers, err = u.client.Workers(ctx); return err })
	group.Go(func() (err error) {
		running, _, err = u.client.Tasks(ctx, scheduler.Filter{State: scheduler.Running, Limit: 500})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	now := time.Now()
	var rows []workerRow
	for _, w := range workers {
		row := workerRow{Worker: w, Now: now}
		for _, t := range running {
			if t.WorkerID == nil || *t.WorkerID != w.ID {
				continue
			}
			if len(row.Tasks) < workerTasks {
				row.Tasks = append(row.Tasks, newRow(t, now))
			}
		}
		row.More = max(0, w.Running-len(row.Tasks))
		rows = append(rows, row)
	}
	return &screen{Name: "workers", Title: "Workers", Reread: true, Data: rows, Wire: map[string]any{"items": list(workers, u.config.Wire.Worker)},
		SQL: []Statement{statement(sql.Workers, nil), listStatement(scheduler.Filter{State: scheduler.Running, Limit: 500})}}, nil
}
