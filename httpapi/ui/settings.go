package ui

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
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
	notifications := "arrive after " + fmt.Sprintf("%.1f ms", float64(trip.Microseconds())/1000)
	if deaf != nil {
		notifications = "do not arrive"
	}
	data := settingsData{Facts: []fact{
		{Label: "scheduler", Text: u.config.Version}, {Label: "Go", Text: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
		{Label: "Schema", Text: fmt.Sprintf("%d, as this program needs", scheduler.SchemaVersion)},
		{Label: "PostgreSQL", Text: version}, {Label: "Database", Text: health.Database + " as " + health.Username},
		{Label: "Clock difference", Text: lasted(time.Since(health.Clock).Abs())}, {Label: "Notifications", Text: notifications},
		{Label: "Dead rows of tasks", Text: number(health.DeadRows)}, {Label: "Access", Text: access}, {Label: "You", Text: actor(r)},
	}, Findings: amiss(append(health.Findings(asked, answered), scheduler.RoundTripFinding(trip, deaf)))}
	return &screen{Name: "settings", Title: "Settings", Data: data, Wire: map[string]any{"version": u.config.Version, "schema": scheduler.SchemaVersion,
		"postgresql": health.ServerVersion, "findings": wireFindings(data.Findings)}, SQL: []Statement{statement(sql.Doctor, nil)}}, nil
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
