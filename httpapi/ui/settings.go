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
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { health, err = u.client.Doctor(ctx); return err })
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
	}, Findings: diagnose(health, deaf)}
	return &screen{Name: "settings", Title: "Settings", Data: data, Wire: map[string]any{"version": u.config.Version, "schema": scheduler.SchemaVersion,
		"postgresql": health.ServerVersion, "findings": wireFindings(data.Findings)}, SQL: []Statement{statement(sql.Doctor, nil)}}, nil
}

// diagnose says what is wrong with a database.
func diagnose(h scheduler.Health, deaf error) (found []finding) {
	say := func(holds bool, level, sentence, detail string) {
		if holds {
			found = append(found, finding{Level: level, Sentence: sentence, Detail: detail})
		}
	}
	say(h.Fsync != "on", "bad", "fsync is "+h.Fsync+".", "A power cut may destroy the database: set fsync = on.")
	say(h.SynchronousCommit == "off", "bad", "synchronous_commit is off.", "The last commits before a crash may be lost.")
	say(h.Standby, "bad", "The database is a standby.", "Nothing can be written: connect to the primary.")
	say(h.StuckLeases > 0, "bad", plural(h.StuckLeases, "running task")+" without a live worker.", "Any worker or server gives them back; is one running?")
	say(h.PromotionLateMS > 10_000, "bad", "A scheduled task is overdue by "+lasted(time.Duration(h.PromotionLateMS)*time.Millisecond)+".",
		"Any worker or server promotes due tasks; is one running?")
	say(h.OldestSnapshotS > 600, "warn", "A transaction is open since "+lasted(time.Duration(h.OldestSnapshotS)*time.Second)+".",
		"Dead rows can't be removed meanwhile; look into pg_stat_activity.")
	say(h.NotificationQueue > 0.5, "warn", fmt.Sprintf("The notification queue is %.0f %% full.", 100*h.NotificationQueue), "A listener holds a transaction open.")
	say(deaf != nil, "warn", "Notifications do not arrive.", "Is there a transaction pooler in front? Tasks start by polling then, within a second.")
	say(h.DeadWorkers > 0, "warn", plural(h.DeadWorkers, "worker")+" silent.", "Their tasks are about to be given back.")
	return found
}

func wireFindings(findings []finding) []map[string]any {
	wire := []map[string]any{}
	for _, f := range findings {
		wire = append(wire, map[string]any{"level": f.Level, "sentence": f.Sentence, "detail": f.Detail})
	}
	return wire
}
