package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// helpTopics are pages of help that belong to no command.
func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes mean", Long: "Exit codes:\n\n" + strings.TrimRight(exitCodeTable(), "\n")},
		{Use: "environment", Short: "The environment variables that are read", Long: environmentHelp},
	}
}

func exitCodeTable() string {
	var b strings.Builder
	for _, e := range exitCodes {
		fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.meaning)
	}
	return b.String()
}

const environmentHelp = `A flag wins over the environment. What a command talks to is the first of:

  --database-url, --server
  SCHEDULER_DATABASE_URL        PostgreSQL URL or libpq connection string
  SCHEDULER_URL                 URL of a scheduler server
  DATABASE_URL                  PostgreSQL URL
  PGHOST, PGDATABASE, PGSERVICE and the other variables of libpq, which also fill in what a URL leaves out

Others:

  SCHEDULER_TOKEN               access token for the server (--token)
  SCHEDULER_WATCH_KEYS          what watch URLs are signed with: id:base64,id:base64 (--watch-keys)
  SCHEDULER_OUTPUT              text or json (--output)
  SCHEDULER_LOG_LEVEL           debug, info, warn or error (--log-level)
  SCHEDULER_LOG_FORMAT          text or json (--log-format)
  SCHEDULER_PG_BINDIR           directory of initdb and postgres for "scheduler dev"
  SCHEDULER_PG_USER             account that runs PostgreSQL when "scheduler dev" is run by root
  SCHEDULER_MESSAGE_RETENTION   how long messages are kept for those who follow topics, as 24h; the same for all processes (1h)
  TRACEPARENT                   W3C trace context that tasks made by submit, topics publish and schedules trigger belong to
  OTEL_EXPORTER_OTLP_ENDPOINT   where spans are sent by OTLP over HTTP; OpenTelemetry's other variables count as well
  NO_COLOR                      not empty: no colour`
