package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

const logPage = 1000 // lines in one call

func (a *app) tasksLogsCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs ID…",
		Short: "Show what the handlers of tasks wrote",
		Long:  "Show what the handlers of tasks wrote: time, attempt, stream (log, stdout, stderr) and the line. With -o json a line of JSON each.",
		Example: `  scheduler tasks logs 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf
  scheduler tasks logs 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf --follow`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.eachTask(cmd, ids, "read the log of", func(ctx context.Context, d door.Door, id string) error {
				return a.tasksLogs(ctx, d, id, follow)
			})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the task ends")
	return cmd
}

// tasksLogs prints all lines that there are, then those that come.
func (a *app) tasksLogs(ctx context.Context, d door.Door, id string, follow bool) error {
	after, err := a.printLogs(ctx, d, id, 0)
	if err != nil || !follow {
		return err
	}
	for event, err := range d.Follow(ctx, id, door.From{Lines: true, After: after}) {
		if err != nil {
			return err
		}
		if event.Missed {
			if after, err = a.printLogs(ctx, d, id, after); err != nil {
				return err
			}
		}
		for _, line := range event.Lines {
			if line.ID <= after {
				continue
			}
			if err := a.printLog(line); err != nil {
				return err
			}
			after = line.ID
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// Lines are written before the task ends: one more look finds the rest, if there is any.
	_, err = a.printLogs(ctx, d, id, after)
	return err
}

// printLogs prints the lines after one, and returns the last.
func (a *app) printLogs(ctx context.Context, d door.Door, id string, after int64) (int64, error) {
	for {
		lines, err := patient(ctx, func() ([]httpapi.LogLine, error) { return d.Logs(ctx, id, after, logPage) })
		if err != nil {
			return after, err
		}
		for _, line := range lines {
			if err := a.printLog(line); err != nil {
				return after, err
			}
			after = line.ID
		}
		if len(lines) < logPage {
			return after, nil
		}
	}
}

func (a *app) printLog(line httpapi.LogLine) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(line)
	}
	at := line.At.UTC().Format(time.RFC3339Nano)
	if a.screen.Interactive() {
		at = line.At.Local().Format("15:04:05.000")
	}
	return a.screen.Printf("%s  %s  %s", at, fmt.Sprintf("%d %-6s", line.Attempt, line.Stream), line.Message)
}
