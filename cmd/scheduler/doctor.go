package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
	"github.com/pgscheduler/scheduler/scheduler"
)

// finding is what one check of doctor found.
type finding struct {
	Check  string `json:"check"`  // stable
	Status string `json:"status"` // ok, warn, fail
	Detail string `json:"detail"`
	Fix    string `json:"fix"` // "": nothing to do
}

const (
	statusOK   = "ok"
	statusWarn = "warn"
	statusFail = "fail"
)

const doctorPatience = 5 * time.Second // with one check

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check the database, the schema and what is going on in it",
		Long: `Check the database, the schema and what is going on in it. Each check says ok, warn or fail, and what to do. Exit 1 when one
failed.`,
		Example: `  scheduler doctor
  scheduler doctor -o json | jq '.items[] | select(.status != "ok")'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := a.needDatabase(cmd)
			if err != nil {
				return err
			}
			return a.showFindings(a.examine(cmd.Context(), url))
		},
	}
}

// examine makes the checks; those that need an earlier one that failed are left out.
func (a *app) examine(ctx context.Context, url string) []finding {
	limited, cancel := context.WithTimeout(ctx, 2*doctorPatience)
	defer cancel()
	began := time.Now()
	client, err := scheduler.Open(limited, scheduler.Config{DatabaseURL: url, MaxConns: 1, Logger: a.global.logger})
	var schema *scheduler.SchemaError
	switch {
	case errors.As(err, &schema):
		return []finding{{"connection", statusOK, "connected in " + screen.Span(time.Since(began)), ""},
			{"schema", statusFail, schemaReason(schema), schemaRemedy(schema)}}
	case err != nil:
		p := explain(doing(err, "connect"))
		return []finding{{"connection", statusFail, p.why, otherAdvice(p)}}
	}
	defer client.Close()
	found := []finding{{"connection", statusOK, "connected in " + screen.Span(time.Since(began)), ""},
		{"schema", statusOK, fmt.Sprintf("version %d, as this binary needs", scheduler.SchemaVersion), ""}, checkListening(ctx, client)}
	asked := time.Now()
	h, err := client.Doctor(limited)
	if err != nil {
		p := explain(doing(err, "look at the database"))
		return append(found, finding{"database", statusFail, p.why, otherAdvice(p)})
	}
	answered := time.Now()
	return append(found, checkServer(h), checkStandby(h), checkDurability(h), checkClock(h, asked, answered), checkWorkers(h), checkLeases(h),
		checkPromotion(h), checkSnapshot(h), checkNotifications(h), checkDeadRows(h))
}

// otherAdvice is what to do about a problem besides what is being done: asking doctor.
func otherAdvice(p *problem) string {
	advice, mine := strings.CutPrefix(p.run, "scheduler doctor")
	switch {
	case !mine:
		return p.run
	case advice == "":
		return "look into the log of PostgreSQL"
	}
	return strings.TrimPrefix(advice, ", or ")
}

func (a *app) showFindings(found []finding) error {
	failed := 0
	for _, f := range found {
		if f.Status == statusFail {
			failed++
		}
	}
	if a.screen.JSON {
		if err := a.screen.PrintJSON(list[finding]{found}); err != nil {
			return err
		}
	} else {
		paint := map[string]screen.Paint{statusOK: screen.Green, statusWarn: screen.Yellow, statusFail: screen.Red}
		for _, f := range found {
			status := a.screen.Painted(paint[f.Status], fmt.Sprintf("%-4s", f.Status))
			if err := a.screen.PrintRaw(fmt.Sprintf("%s  %-14s %s", status, f.Check, screen.Clean(f.Detail))); err != nil {
				return err
			}
			if f.Fix != "" {
				fix := a.screen.Painted(screen.Dim, "→ "+screen.Clean(f.Fix))
				if err := a.screen.PrintRaw(fmt.Sprintf("      %-14s %s", "", fix)); err != nil {
					return err
				}
			}
		}
	}
	if failed > 0 {
		return &problem{exitFailure, "not all is well", fmt.Sprintf("%d of %d checks failed", failed, len(found)), "what is said under each check"}
	}
	return nil
}

// judged makes a finding: fail and warn win over ok, in this order.
func judged(check, detail string, fail, warn bool, fix string) finding {
	switch {
	case fail:
		return finding{check, statusFail, detail, fix}
	case warn:
		return finding{check, statusWarn, detail, fix}
	}
	return finding{check, statusOK, detail, ""}
}

func checkListening(ctx context.Context, client *scheduler.Client) finding {
	limited, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	took, err := client.NotifyRoundTrip(limited)
	if err != nil {
		return finding{"notifications", statusFail, "a notification did not arrive: " + oneLine(err),
			"connect past a pooler that works by transactions, or run workers and servers with --poll-only"}
	}
	return judged("notifications", "round trip in "+took.Round(10*time.Microsecond).String(), false, took > time.Second, "tasks start late by this much; look at the load of the database")
}

const oldestServer = 14 // major version

func checkServer(h scheduler.Health) finding {
	return judged("server", fmt.Sprintf("PostgreSQL %s, database %s, user %s", h.ServerVersion, h.Database, h.Username),
		h.ServerVersionNum < oldestServer*10000, false, fmt.Sprintf("use PostgreSQL %d or newer", oldestServer))
}

func checkStandby(h scheduler.Health) finding {
	detail := "it takes writes"
	if h.Standby {
		detail = "it is a standby, which takes no writes"
	}
	return judged("primary", detail, h.Standby, false, "connect to the primary, for example with target_session_attrs=read-write")
}

func checkDurability(h scheduler.Health) finding {
	return judged("durability", fmt.Sprintf("fsync %s, synchronous_commit %s", h.Fsync, h.SynchronousCommit), false,
		h.Fsync != "on" || h.SynchronousCommit == "off",
		"set fsync and synchronous_commit to on; without, tasks that were acknowledged may be lost in a crash")
}

// checkClock compares the clocks, as well as the time that the question took allows.
func checkClock(h scheduler.Health, asked, answered time.Time) finding {
	trip := answered.Sub(asked)
	skew := h.Clock.Sub(asked.Add(trip / 2))
	return judged("clock", fmt.Sprintf("the database's clock differs from this machine's by %s, give or take %s", skew.Round(time.Millisecond), (trip/2).Round(time.Millisecond)),
		false, skew.Abs() > time.Second+trip/2, "only times for people are affected, since the database's clock alone counts; run NTP on both")
}

func checkWorkers(h scheduler.Health) finding {
	detail := fmt.Sprintf("%d live", h.LiveWorkers)
	if h.DeadWorkers > 0 {
		detail += fmt.Sprintf(", %d silent and about to be rescued from", h.DeadWorkers)
	}
	return judged("workers", detail, false, h.LiveWorkers == 0, "scheduler worker --help")
}

func checkLeases(h scheduler.Health) finding {
	return judged("leases", fmt.Sprintf("%d running tasks without a live worker", h.StuckLeases), h.StuckLeases > 0 && h.LiveWorkers == 0, h.StuckLeases > 0,
		"any worker or server gives them back within seconds: start one, or look again")
}

func checkPromotion(h scheduler.Health) finding {
	late := time.Duration(h.PromotionLateMS) * time.Millisecond
	detail := "nothing is overdue"
	if late > 0 {
		detail = "the most overdue task has waited " + screen.Span(late) + " since it was due"
	}
	return judged("due work", detail, late > time.Minute, late > 5*time.Second, "any worker or server promotes due tasks within seconds: start one")
}

func checkSnapshot(h scheduler.Health) finding {
	age := max(0, time.Duration(h.OldestSnapshotS*float64(time.Second))) // one that began since the question is younger than it
	return judged("snapshots", "the oldest open transaction is "+screen.Span(age)+" old", age > time.Hour, age > 5*time.Minute,
		"dead rows cannot be removed meanwhile; find it: select pid, xact_start, query from pg_stat_activity order by xact_start")
}

func checkNotifications(h scheduler.Health) finding {
	return judged("notify queue", fmt.Sprintf("%.1f%% full", 100*h.NotificationQueue), h.NotificationQueue > 0.5, h.NotificationQueue > 0.1,
		"a session that listens is stuck in a transaction; find it in pg_stat_activity")
}

func checkDeadRows(h scheduler.Health) finding {
	return judged("dead rows", fmt.Sprintf("%d in scheduler.tasks", h.DeadRows), false, h.DeadRows > 500_000,
		"vacuum scheduler.tasks; look for what keeps autovacuum from it, such as old snapshots")
}
