package ui

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// overviewData is what the first page shows.
type overviewData struct {
	Health  health
	Tiles   []tile
	Span    string // 1h, 24h
	Chart   template.HTML
	Running table
	Dead    table
}

// tile is a figure that leads to what it counts.
type tile struct{ Label, Figure, Note, Path, State string }

// glance is what the overview reads, at once.
type glance struct {
	counts    []scheduler.StateCount
	queues    []scheduler.QueueStatus
	workers   []scheduler.Worker
	schedules []scheduler.Schedule
	endpoints []scheduler.Endpoint
	running   []scheduler.Task
	dead      []scheduler.Task
	series    series
	hour      []scheduler.Stat // by minutes
}

// glanceRows is how many tasks its tables show.
const glanceRows = 8

func (u *UI) glance(ctx context.Context, span string) (g glance, err error) {
	group, ctx := errgroup.WithContext(ctx) // Wait below ends all
	group.Go(func() (err error) { g.counts, err = u.client.CountStates(ctx); return err })
	group.Go(func() (err error) { g.queues, err = u.client.Queues(ctx); return err })
	group.Go(func() (err error) { g.workers, err = u.client.Workers(ctx); return err })
	group.Go(func() (err error) { g.schedules, err = u.client.Schedules(ctx); return err })
	group.Go(func() (err error) { g.endpoints, err = u.client.Endpoints(ctx); return err })
	group.Go(func() (err error) {
		g.running, _, err = u.client.Tasks(ctx, scheduler.Filter{State: scheduler.Running, Limit: glanceRows})
		return err
	})
	group.Go(func() (err error) {
		g.dead, _, err = u.client.Tasks(ctx, scheduler.Filter{State: scheduler.Failed, Limit: pageRows})
		slices.SortStableFunc(g.dead, func(a, b scheduler.Task) int { return when(b).Compare(when(a)) }) // listed by when they were made
		g.dead = g.dead[:min(len(g.dead), glanceRows)]
		return err
	})
	group.Go(func() (err error) { g.hour, err = u.client.Stats(ctx, scheduler.StatsFilter{}); return err })
	if span == "24h" {
		group.Go(func() (err error) { g.series, err = u.day(ctx); return err })
	}
	err = group.Wait()
	if span != "24h" {
		g.series = newSeries(g.hour, scheduler.StatsFilter{}, time.Now())
	}
	return g, err
}

func (u *UI) overview(r *http.Request) (*screen, error) {
	span := "1h"
	if r.URL.Query().Get("span") == "24h" {
		span = "24h"
	}
	g, err := u.glance(r.Context(), span)
	if err != nil {
		return nil, err
	}
	data := overviewData{Health: u.health(r.Context(), g), Span: span, Chart: g.series.chart(), Tiles: tiles(g),
		Running: newTable(g.running, scheduler.Running), Dead: newTable(g.dead, scheduler.Failed)}
	wire := map[string]any{"health": data.Health.wire(), "counts": wireCounts(g.counts), "throughput": g.series.wire(),
		"running": list(g.running, u.config.Wire.Task), "dead": list(g.dead, u.config.Wire.Task)}
	title := "Overview"
	if data.Health.Level != "good" {
		title = "⚠ " + strings.TrimSuffix(data.Health.Sentence, ".")
	}
	return &screen{Name: "overview", Title: title, Reread: true, Data: data, Wire: wire, SQL: []Statement{
		statement(sql.Counts, map[string]any{"cap": scheduler.CountCap}), statement(sql.Queues, map[string]any{"cap": scheduler.CountCap}),
		statement(sql.Workers, nil)}}, nil
}

// tiles are the figures on top.
func tiles(g glance) []tile {
	by, hour := map[scheduler.State]string{}, newSeries(g.hour, scheduler.StatsFilter{}, time.Now())
	for _, c := range g.counts {
		by[c.State] = count(c)
	}
	live, slots, busy := 0, 0, 0
	for _, w := range g.workers {
		if w.Live {
			live, slots, busy = live+1, slots+w.Slots, busy+w.Running
		}
	}
	return []tile{
		{"Running", by[scheduler.Running], number(int64(busy)) + " of " + plural(slots, "slot") + " busy", "/tasks?state=running", "running"},
		{"Ready", by[scheduler.Ready], longest(g.queues), "/tasks?state=ready", "ready"},
		{"Scheduled", by[scheduler.Scheduled], "for later, or to retry", "/tasks?state=scheduled", "scheduled"},
		{"Dead letters", by[scheduler.Failed], buried(g.hour), "/dead", "failed"},
		{"Done per minute", hour.perMinute(), hour.last().failing(), "/tasks?state=completed", "completed"},
		{"Workers", number(int64(live)), crew(g.workers), "/workers", ""},
	}
}

// longest says how long the oldest ready task waits.
func longest(queues []scheduler.QueueStatus) string {
	var most time.Duration
	for _, q := range queues {
		most = max(most, oldest(q))
	}
	if most < time.Second {
		return "none waits"
	}
	return "oldest waits " + whole(most)
}

// buried says how many tasks gave up in the last hour.
func buried(hour []scheduler.Stat) string {
	var dead int64
	for _, stat := range hour {
		dead += stat.Dead
	}
	return number(dead) + " in the last hour"
}

// crew says what is not as usual with the workers.
func crew(workers []scheduler.Worker) string {
	quiet, silent := 0, 0
	for _, w := range workers {
		switch {
		case !w.Live:
			silent++
		case w.Command != scheduler.CommandRun:
			quiet++
		}
	}
	var parts []string
	if quiet > 0 {
		parts = append(parts, number(int64(quiet))+" quiet")
	}
	if silent > 0 {
		parts = append(parts, number(int64(silent))+" silent")
	}
	if len(parts) == 0 && len(workers) > 0 {
		return "all take tasks"
	}
	return strings.Join(parts, ", ")
}

// count spells a count: 312, 10 000+ or ≈ 4 812 000.
func count(c scheduler.StateCount) string {
	switch {
	case c.Approximate && c.Tasks > 0:
		return "≈\u00a0" + number(rounded(c.Tasks))
	case c.Tasks >= scheduler.CountCap && c.State != scheduler.Running:
		return number(c.Tasks) + "+"
	}
	return number(c.Tasks)
}

// rounded has three digits that are not 0: an estimate has no more.
func rounded(n int64) int64 {
	unit := int64(1)
	for n/unit >= 1000 {
		unit *= 10
	}
	return n / unit * unit
}

func wireCounts(counts []scheduler.StateCount) map[string]any {
	wire := map[string]any{}
	for _, c := range counts {
		wire[string(c.State)] = map[string]any{"tasks": c.Tasks, "approximate": c.Approximate}
	}
	return wire
}
