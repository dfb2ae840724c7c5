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
func (a *app) examine(ctx context.Context, url string) []scheduler.Finding {
	limited, cancel := context.WithTimeout(ctx, 2*doctorPatience)
	defer cancel()
	began := time.Now()
	client, err := scheduler.Open(limited, scheduler.Config{DatabaseURL: url, MaxConns: 1, Logger: a.global.logger})
	var schema *scheduler.SchemaError
	switch {
	case errors.As(err, &schema):
		return []scheduler.Finding{{Check: "connection", Status: scheduler.OK, Detail: "connected in " + screen.Span(time.Since(began))},
			{Check: "schema", Status: scheduler.Fail, Detail: schemaReason(schema), Fix: schemaRemedy(schema)}}
	case err != nil:
		p := explain(doing(err, "connect"))
		return []scheduler.Finding{{Check: "connection", Status: scheduler.Fail, Detail: p.why, Fix: otherAdvice(p)}}
	}
	defer client.Close()
	found := []scheduler.Finding{{Check: "connection", Status: scheduler.OK, Detail: "connected in " + screen.Span(time.Since(began))},
		{Check: "schema", Status: scheduler.OK, Detail: fmt.Sprintf("version %d, as this binary needs", scheduler.SchemaVersion)}, hearing(ctx, client)}
	asked := time.Now()
	h, err := client.Doctor(limited)
	if err != nil {
		p := explain(doing(err, "look at the database"))
		return append(found, scheduler.Finding{Check: "database", Status: scheduler.Fail, Detail: p.why, Fix: otherAdvice(p)})
	}
	return append(found, h.Findings(asked, time.Now())...)
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

func (a *app) showFindings(found []scheduler.Finding) error {
	failed := 0
	for _, f := range found {
		if f.Status == scheduler.Fail {
			failed++
		}
	}
	if a.screen.JSON {
		if err := a.screen.PrintJSON(list[scheduler.Finding]{found}); err != nil {
			return err
		}
	} else {
		paint := map[scheduler.Status]screen.Paint{scheduler.OK: screen.Green, scheduler.Warn: screen.Yellow, scheduler.Fail: screen.Red}
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

// hearing makes the check of notifications.
func hearing(ctx context.Context, client *scheduler.Client) scheduler.Finding {
	limited, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	return scheduler.RoundTripFinding(client.NotifyRoundTrip(limited))
}
