package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

func (a *app) workersCommand() *cobra.Command {
	workers := group(&cobra.Command{
		Use:   "workers",
		Short: "Look at worker processes and control them",
		Example: `  scheduler workers list
  scheduler workers quiet 4e2b0c1d-6d0f-4d0a-9a54-1f5e0f6b7a11`,
	})
	workers.AddCommand(
		&cobra.Command{
			Use:     "list",
			Short:   "List worker processes, oldest first",
			Example: `  scheduler workers list`,
			Args:    takes(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
					workers, err := d.Workers(ctx)
					if err != nil {
						return doing(err, "list workers")
					}
					return a.showWorkers(workers)
				})
			},
		},
		a.workerOrder("quiet", "Let workers finish what they run and take nothing more"),
		a.workerOrder("stop", "Let workers finish what they run and end"),
		a.workerOrder("run", "Let quiet workers take tasks again"),
	)
	return workers
}

func (a *app) showWorkers(workers []httpapi.Worker) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(list[httpapi.Worker]{workers})
	}
	table := a.screen.Table("ID", "STATE", "RUNNING", "STARTED", "SEEN", "QUEUES", "NAME", "KINDS")
	for _, w := range workers {
		state := w.Command
		if !w.Live {
			state = "silent"
		}
		table.Row(w.ID, state, fmt.Sprintf("%d/%d", w.Running, w.Slots), a.screen.Time(&w.StartedAt), a.screen.Time(&w.SeenAt),
			strings.Join(w.Queues, ","), w.Name, strings.Join(w.Kinds, ","))
	}
	return table.Flush()
}

func (a *app) workerOrder(command, short string) *cobra.Command {
	return &cobra.Command{
		Use:     command + " ID…",
		Short:   short,
		Example: "  scheduler workers " + command + " 4e2b0c1d-6d0f-4d0a-9a54-1f5e0f6b7a11",
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			for _, id := range ids {
				if _, err := scheduler.ParseWorkerID(id); err != nil {
					return usage(cmd.CommandPath(), fmt.Sprintf("bad id %q", id), "an id is a UUID; scheduler workers list shows them")
				}
			}
			return a.each(cmd, ids, func(ctx context.Context, d door.Door, id string) error {
				told, err := d.Command(ctx, id, command)
				switch {
				case err != nil:
					return doing(err, "tell worker %s %q", id, command)
				case a.screen.JSON:
					return a.screen.PrintJSON(told)
				}
				return a.screen.Printf("%s  was told %q", told.ID, told.Command)
			})
		},
	}
}
