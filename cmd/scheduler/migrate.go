package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/migrations"
	"github.com/pgscheduler/scheduler/scheduler"
)

// migrated is what migrate up and down did, as JSON.
type migrated struct {
	Applied []migration `json:"applied"` // those that this call ran, in order
	Version int64       `json:"version"` // of the schema now
}

type migration struct {
	Version    int64  `json:"version"`
	Name       string `json:"name"`
	DurationMS int64  `json:"duration_ms"`
}

// migrationStatus is what migrate status says, as JSON.
type migrationStatus struct {
	Version    int64            `json:"version"` // of the schema; 0: none
	Latest     int64            `json:"latest"`  // that this binary knows
	Migrations []migrationState `json:"migrations"`
}

type migrationState struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`
	AppliedAt *time.Time `json:"applied_at"` // null: pending
}

func (a *app) migrateCommand() *cobra.Command {
	migrate := group(&cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to date (the same as migrate up)",
		Long: `Bring the database's schema up to date. Any number of processes may do so at once: one migrates, the others wait and
find nothing left to do. Everything lives in the schema "scheduler".`,
		Example: `  scheduler migrate
  scheduler migrate status
  scheduler migrate down --to 4`,
	})
	up := &cobra.Command{
		Use:     "up",
		Short:   "Apply all pending migrations",
		Example: `  scheduler migrate up --database-url postgres://localhost/app`,
		Args:    takes(0, 0),
		RunE:    a.migrateUp,
	}
	status := &cobra.Command{
		Use:     "status",
		Short:   "List the migrations and when each was applied",
		Example: `  scheduler migrate status -o json`,
		Args:    takes(0, 0),
		RunE:    a.migrateStatus,
	}
	migrate.RunE = a.migrateUp
	migrate.AddCommand(up, a.migrateDownCommand(), status)
	return migrate
}

func (a *app) migrateUp(cmd *cobra.Command, _ []string) error {
	url, err := a.needDatabase(cmd)
	if err != nil {
		return err
	}
	if err := refuseNewer(cmd.Context(), a, url); err != nil {
		return doing(err, "migrate the database")
	}
	applied, err := migrations.Up(cmd.Context(), url)
	if err != nil {
		return doing(err, "migrate the database")
	}
	return a.showMigrated(applied, scheduler.SchemaVersion, "applied", "the schema is up to date")
}

// refuseNewer returns a *scheduler.SchemaError when the schema is newer than this binary.
func refuseNewer(ctx context.Context, a *app, url string) error {
	found, err := a.schemaVersion(ctx, url)
	if err == nil && found > scheduler.SchemaVersion {
		return &scheduler.SchemaError{Database: found, Binary: scheduler.SchemaVersion}
	}
	return err
}

// schemaVersion reads the version of the database's schema; 0: none.
func (a *app) schemaVersion(ctx context.Context, url string) (int64, error) {
	client, err := scheduler.Open(ctx, scheduler.Config{DatabaseURL: url, MaxConns: 1, Logger: a.global.logger})
	var mismatch *scheduler.SchemaError
	switch {
	case errors.As(err, &mismatch):
		return mismatch.Database, nil
	case err != nil:
		return 0, err
	}
	client.Close()
	return scheduler.SchemaVersion, nil
}

func (a *app) showMigrated(applied []migrations.Applied, version int64, verb, none string) error {
	if a.screen.JSON {
		out := migrated{Applied: []migration{}, Version: version}
		for _, m := range applied {
			out.Applied = append(out.Applied, migration{m.Version, m.Name, m.Duration.Milliseconds()})
		}
		return a.screen.PrintJSON(out)
	}
	for _, m := range applied {
		if err := a.screen.Printf("%s %s in %dms", verb, m.Name, m.Duration.Milliseconds()); err != nil {
			return err
		}
	}
	if len(applied) == 0 {
		return a.screen.Printf("%s (version %d)", none, version)
	}
	return a.screen.Printf("the schema is at version %d", version)
}

func (a *app) migrateDownCommand() *cobra.Command {
	var to int64
	var yes bool
	down := &cobra.Command{
		Use:   "down --to N",
		Short: "Undo migrations, newest first, until the schema is at version N",
		Long: `Undo migrations, newest first, until the schema is at version N. What they made is dropped with all that is in it; version
0 drops every task. On a terminal it asks first; elsewhere it needs --yes.`,
		Example: `  scheduler migrate down --to 4
  scheduler migrate down --to 0 --yes`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("to") {
				return usage(cmd.CommandPath(), "--to is missing", "it says which version of the schema to go back to; 0 drops everything")
			}
			if to < 0 || to > scheduler.SchemaVersion {
				return usage(cmd.CommandPath(), fmt.Sprintf("bad --to %d", to), "this binary knows the versions 0 to %d", scheduler.SchemaVersion)
			}
			return a.migrateDown(cmd, to, yes)
		},
	}
	down.Flags().Int64Var(&to, "to", 0, "version to go back to, `N`; 0: drop everything")
	down.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return down
}

func (a *app) migrateDown(cmd *cobra.Command, to int64, yes bool) error {
	url, err := a.needDatabase(cmd)
	if err != nil {
		return err
	}
	verb := fmt.Sprintf("migrate the database down to version %d", to)
	if err := refuseNewer(cmd.Context(), a, url); err != nil {
		return doing(err, "%s", verb)
	}
	if !yes {
		if err := a.confirm(cmd, verb); err != nil {
			return err
		}
	}
	undone, err := migrations.Down(cmd.Context(), url, to)
	if err != nil {
		return doing(err, "%s", verb)
	}
	now, err := a.schemaVersion(cmd.Context(), url)
	if err != nil {
		return doing(err, "read the schema's version")
	}
	return a.showMigrated(undone, now, "undid", "there was nothing to undo")
}

// confirm asks on a terminal whether data may be dropped, and refuses elsewhere.
func (a *app) confirm(cmd *cobra.Command, verb string) error {
	if !a.stdinTerminal {
		return usage(cmd.CommandPath(), "--yes is missing", "this drops data, and there is no terminal to ask on")
	}
	a.screen.Hintf("%s: this drops data for good. Type yes to go on:", verb)
	answer := make(chan string, 1)
	go func() { // ends with the line, or with the process when ctx ends first
		line, _ := bufio.NewReader(a.stdin).ReadString('\n') // no line is no yes
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-cmd.Context().Done():
		return cmd.Context().Err()
	case said := <-answer:
		if said != "yes" {
			return &problem{exitFailure, "cannot " + verb, "the answer was not yes", "nothing was changed; the same command with --yes does not ask"}
		}
		return nil
	}
}

func (a *app) migrateStatus(cmd *cobra.Command, _ []string) error {
	url, err := a.needDatabase(cmd)
	if err != nil {
		return err
	}
	found, err := a.schemaVersion(cmd.Context(), url)
	if err != nil {
		return doing(err, "read the schema's version")
	}
	states, err := migrations.Status(cmd.Context(), url)
	if err != nil {
		return doing(err, "read the migrations")
	}
	if a.screen.JSON {
		out := migrationStatus{Version: found, Latest: scheduler.SchemaVersion}
		for _, s := range states {
			out.Migrations = append(out.Migrations, migrationState{s.Version, s.Name, notZero(s.AppliedAt)})
		}
		if err := a.screen.PrintJSON(out); err != nil {
			return err
		}
	} else {
		table := a.screen.Table("VERSION", "APPLIED", "NAME")
		for _, s := range states {
			applied := "pending"
			if !s.AppliedAt.IsZero() {
				applied = a.screen.Time(&s.AppliedAt)
			}
			table.Row(fmt.Sprint(s.Version), applied, s.Name)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if found != scheduler.SchemaVersion {
		return doing(&scheduler.SchemaError{Database: found, Binary: scheduler.SchemaVersion}, "use this database with this binary")
	}
	return nil
}

func notZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
