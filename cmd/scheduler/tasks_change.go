package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

func (a *app) tasksCancelCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "cancel ID…",
		Short: "Cancel tasks",
		Long: `Cancel tasks. One that does not run is cancelled at once; the handler of one that runs is told to stop within a second, and
the task ends cancelled unless it completes first.`,
		Example: `  scheduler tasks cancel 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf --reason 'wrong customer'`,
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.eachTask(cmd, ids, "cancel", func(ctx context.Context, d door.Door, id string) error {
				return a.changed(d.Cancel(ctx, id, reason))
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that people see as the task's error")
	return a.bulkable(cmd, "cancel", &reason)
}

func (a *app) tasksRetryCommand() *cobra.Command {
	return a.bulkable(&cobra.Command{
		Use:   "retry ID…",
		Short: "Bring failed or cancelled tasks back, ready at once",
		Example: `  scheduler tasks retry 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf
  scheduler tasks retry --all --state failed --queue mail`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.eachTask(cmd, ids, "retry", func(ctx context.Context, d door.Door, id string) error { return a.changed(d.Retry(ctx, id)) })
		},
	}, "retry", new(string))
}

// changed prints what a task became.
func (a *app) changed(task httpapi.Task, err error) error {
	switch {
	case err != nil:
		return err
	case a.screen.JSON:
		return a.screen.PrintJSON(task)
	case task.CancelRequested && !task.Done:
		return a.screen.Printf("%s  %s, asked to stop", task.ID, task.State)
	}
	return a.screen.Printf("%s  %s", task.ID, task.State)
}

func (a *app) tasksDeleteCommand() *cobra.Command {
	return a.bulkable(&cobra.Command{
		Use:   "delete ID…",
		Short: "Remove completed, failed or cancelled tasks with their attempts and logs",
		Example: `  scheduler tasks delete 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf
  scheduler tasks delete --all --state completed --until 2026-01-01T00:00:00Z`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.eachTask(cmd, ids, "delete", func(ctx context.Context, d door.Door, id string) error {
				if err := d.Delete(ctx, id); err != nil {
					return err
				}
				return a.gone("id", id)
			})
		},
	}, "delete", new(string))
}

// gone says that what a key names is deleted.
func (a *app) gone(key, name string) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(map[string]any{key: name, "deleted": true})
	}
	return a.screen.Printf("%s  deleted", name)
}
