package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

func (a *app) queuesCommand() *cobra.Command {
	queues := group(&cobra.Command{
		Use:     "queues",
		Aliases: []string{"queue"},
		Short:   "Look at queues, pause and resume them",
		Example: `  scheduler queues list
  scheduler queues pause mail`,
	})
	queues.AddCommand(
		&cobra.Command{
			Use:     "list",
			Short:   "List the queues with their counts",
			Example: `  scheduler queues list -o json`,
			Args:    takes(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
					queues, err := d.Queues(ctx)
					if err != nil {
						return doing(err, "list queues")
					}
					return a.showQueues(queues)
				})
			},
		},
		a.queueChange("pause NAME…", "Take nothing more from queues; what runs goes on", door.Door.PauseQueue),
		a.queueChange("resume NAME…", "Let queues be taken from again", door.Door.ResumeQueue),
	)
	return queues
}

func (a *app) showQueues(queues []httpapi.Queue) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(list[httpapi.Queue]{queues})
	}
	table := a.screen.Table("NAME", "READY", "SCHEDULED", "RUNNING", "FAILED", "WORKERS", "SLOTS", "OLDEST", "PAUSED")
	for _, q := range queues {
		table.Row(q.Name, count(q.Ready), count(q.Scheduled), count(q.Running), count(q.Failed), fmt.Sprint(q.Workers), fmt.Sprint(q.Slots),
			milli(q.OldestReadyMS), a.maybe(q.PausedAt))
	}
	return table.Flush()
}

// some is a number of things.
func some[N int | int64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// count shows a count that ends at CountCap.
func count(n int) string {
	if n >= scheduler.CountCap {
		return fmt.Sprintf("%d+", n)
	}
	return fmt.Sprint(n)
}

func (a *app) queueChange(use, short string, change func(door.Door, context.Context, string) (httpapi.QueuePause, error)) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: takes(1, -1)}
	c.Example = "  scheduler queues " + c.Name() + " mail reports"
	c.RunE = func(cmd *cobra.Command, names []string) error {
		return a.each(cmd, names, func(ctx context.Context, d door.Door, name string) error {
			pause, err := change(d, ctx, name)
			switch {
			case err != nil:
				return doing(err, "%s queue %s", cmd.Name(), name)
			case a.screen.JSON:
				return a.screen.PrintJSON(pause)
			case pause.PausedAt != nil:
				return a.screen.Printf("%s  paused since %s", name, a.screen.Time(pause.PausedAt))
			}
			return a.screen.Printf("%s  not paused", name)
		})
	}
	return c
}
