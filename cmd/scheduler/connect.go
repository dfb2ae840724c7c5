package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/scheduler"
)

// globals are the flags that every command has.
type globals struct {
	databaseURL string
	server      string
	token       string
	output      string
	logLevel    string
	logFormat   string
	logger      *slog.Logger
}

// target is what a command talks to: a server, or a database whose URL may be "" (the PG* variables say which).
type target struct {
	server   string
	database string
}

// target finds what flags and environment say; flags win over the environment, and what is meant for this program alone
// over what an application sets for itself. ok: they say something.
func (a *app) target(cmd *cobra.Command) (t target, ok bool, err error) {
	flags := cmd.Flags()
	if flags.Changed("database-url") && flags.Changed("server") {
		return t, false, usage(cmd.CommandPath(), "--database-url and --server exclude each other", "a command talks to the database or to the server, not to both")
	}
	switch {
	case flags.Changed("database-url"):
		return target{database: a.global.databaseURL}, true, nil
	case flags.Changed("server"):
		return target{server: a.global.server}, true, nil
	}
	if url := a.env("SCHEDULER_DATABASE_URL"); url != "" {
		return target{database: url}, true, nil
	}
	if url := a.env("SCHEDULER_URL"); url != "" {
		return target{server: url}, true, nil
	}
	database, ok := a.otherDatabase()
	return target{database: database}, ok, nil
}

// otherDatabase finds a database that the environment names for every program.
func (a *app) otherDatabase() (url string, ok bool) {
	if url := a.env("DATABASE_URL"); url != "" {
		return url, true
	}
	for _, name := range []string{"PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"} {
		if a.env(name) != "" {
			return "", true
		}
	}
	return "", false
}

// database finds the database of a command that cannot do without one.
func (a *app) database(cmd *cobra.Command) (url string, ok bool, err error) {
	if cmd.Flags().Changed("server") && !cmd.Flags().Changed("database-url") {
		return "", false, usage(cmd.CommandPath(), cmd.CommandPath()+" does not work through --server", "it needs the database itself: give --database-url")
	}
	if cmd.Flags().Changed("database-url") {
		return a.global.databaseURL, true, nil
	}
	if url := a.env("SCHEDULER_DATABASE_URL"); url != "" {
		return url, true, nil
	}
	url, ok = a.otherDatabase()
	return url, ok, nil
}

// needDatabase is database, and an error when there is none.
func (a *app) needDatabase(cmd *cobra.Command) (string, error) {
	url, ok, err := a.database(cmd)
	if err == nil && !ok && a.env("SCHEDULER_URL") != "" {
		return "", &problem{exitUsage, "no database given", "SCHEDULER_URL names a server, and " + cmd.CommandPath() + " talks to the database only",
			cmd.CommandPath() + " --database-url postgres://user:password@host:5432/database, or set SCHEDULER_DATABASE_URL"}
	}
	if err == nil && !ok {
		err = &problem{exitUsage, "no database given", "neither --database-url nor SCHEDULER_DATABASE_URL, DATABASE_URL, PGHOST or PGDATABASE is set",
			"scheduler dev, which starts a database of its own, or set SCHEDULER_DATABASE_URL"}
	}
	return url, err
}

// open connects to the database of a command that cannot do without one.
func (a *app) open(ctx context.Context, cmd *cobra.Command, config scheduler.Config) (*scheduler.Client, error) {
	url, err := a.needDatabase(cmd)
	if err != nil {
		return nil, err
	}
	config.DatabaseURL = url
	if config.MessageRetention, err = a.messageRetention(cmd.CommandPath()); err != nil {
		return nil, err
	}
	config.Logger = a.global.logger
	client, err := scheduler.Open(ctx, config)
	return client, doing(err, "use the database")
}

// messageRetention is for how long messages are kept for those who follow topics; 0: the default. It comes from the environment alone, for
// all processes should have the same.
func (a *app) messageRetention(command string) (time.Duration, error) {
	value := a.env("SCHEDULER_MESSAGE_RETENTION")
	if value == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < time.Minute || d > 8766*time.Hour {
		return 0, usage(command, fmt.Sprintf("bad SCHEDULER_MESSAGE_RETENTION %q", value), "it is a duration from 1m to 8766h, as 24h")
	}
	return d, nil
}

// door opens the way to the tasks that flags and environment choose. The caller closes it.
func (a *app) door(cmd *cobra.Command) (door.Door, error) {
	t, ok, err := a.target(cmd)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &problem{exitUsage, "no database and no server given",
			"neither --database-url nor --server, SCHEDULER_DATABASE_URL, SCHEDULER_URL, DATABASE_URL, PGHOST or PGDATABASE is set",
			"scheduler dev, which starts both and says how to reach them"}
	}
	if t.server != "" {
		d, err := door.HTTP(t.server, a.global.token)
		if err != nil {
			return nil, usage(cmd.CommandPath(), "bad --server", "%v", err)
		}
		return d, nil
	}
	client, err := scheduler.Open(cmd.Context(), scheduler.Config{DatabaseURL: t.database, MaxConns: 1, Logger: a.global.logger})
	if err != nil {
		return nil, doing(err, "use the database")
	}
	return door.SQL(client), nil
}

// env returns a variable without the space around it; "": not set.
func (a *app) env(name string) string {
	value, _ := a.lookupEnv(name)
	return strings.TrimSpace(value)
}
