package ui

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// settingsData is what the page about this installation shows.
type settingsData struct {
	Facts    []fact
	Findings []finding
	Checks   []check // the worst first
}

// check is what scheduler doctor looked at.
type check struct{ Status, Name, Detail, Fix string }

// Mark is the class of its badge.
func (c check) Mark() string {
	return map[string]string{"ok": "completed", "warn": "paused", "fail": "failed"}[c.Status]
}

// roundTrip is how long the page waits for a notification.
const roundTrip = 2 * time.Second

func (u *UI) settings(r *http.Request) (*screen, error) {
	var health scheduler.Health
	var trip time.Duration
	var deaf error
	var asked, answered time.Time
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) {
		asked = time.Now()
		health, err = u.client.Doctor(ctx)
		answered = time.Now()
		return err
	})
	group.Go(func() error {
		waiting, cancel := context.WithTimeout(ctx, roundTrip)
		defer cancel()
		trip, deaf = u.client.NotifyRoundTrip(waiting)
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	version, _, _ := strings.Cut(health.ServerVersion, " ")
	access := "without a token: this machine only"
	if !u.sessions.open {
		access = "by token"
	}
	all := append(health.Findings(asked, answered), scheduler.RoundTripFinding(trip, deaf))
	data := settingsData{Checks: checks(all), Facts: []fact{
		{Label: "scheduler", Text: u.config.Version}, {Label: "Go", Text: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
		{Label: "Migrations", Text: fmt.Sprintf("%d applied, as this program needs", scheduler.SchemaVersion)},
		{Label: "PostgreSQL", Text: version}, {Label: "Database", Text: health.Database + " as " + health.Username},
		{Label: "Access", Text: access}, {Label: "You", Text: actor(r)},
	}, Findings: amiss(all)}
	return &screen{Name: "settings", Title: "Settings", Data: data, Wire: map[string]any{"version": u.config.Version, "schema": scheduler.SchemaVersion,
		"postgresql": health.ServerVersion, "findings": wireFindings(data.Findings), "checks": wireChecks(data.Checks)}, SQL: []Statement{statement(sql.Doctor, nil)}}, nil
}

// checks are the findings of scheduler doctor, the worst first.
func checks(all []scheduler.Finding) (list []check) {
	rank := map[scheduler.Status]int{scheduler.Fail: 0, scheduler.Warn: 1, scheduler.OK: 2}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b scheduler.Finding) int { return rank[a.Status] - rank[b.Status] })
	for _, f := range all {
		c := check{Status: string(f.Status), Name: f.Check, Detail: f.Detail}
		if f.Status != scheduler.OK {
			c.Fix = sentence(f.Fix)
		}
		list = append(list, c)
	}
	return list
}

func wireChecks(checks []check) []map[string]any {
	wire := []map[string]any{}
	for _, c := range checks {
		wire = append(wire, map[string]any{"check": c.Name, "status": c.Status, "detail": c.Detail, "fix": c.Fix})
	}
	return wire
}

// amiss are the findings of scheduler doctor that are not all right.
func amiss(all []scheduler.Finding) (found []finding) {
	sentence := func(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }
	level := map[scheduler.Status]string{scheduler.Warn: "warn", scheduler.Fail: "bad"}
	for _, f := range all {
		if f.Status != scheduler.OK {
			found = append(found, finding{Level: level[f.Status], Sentence: sentence(f.Check + ": " + f.Detail), Detail: sentence(f.Fix)})
		}
	}
	return found
}

func wireFindings(findings []finding) []map[string]any {
	wire := []map[string]any{}
	for _, f := range findings {
		wire = append(wire, map[string]any{"level": f.Level, "sentence": f.Sentence, "detail": f.Detail})
	}
	return wire
}
