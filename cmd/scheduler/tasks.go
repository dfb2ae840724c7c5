package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/scheduler"
)

func (a *app) tasksCommand() *cobra.Command {
	tasks := group(&cobra.Command{
		Use:     "tasks",
		Aliases: []string{"task"},
		Short:   "Look at tasks and control them",
		Example: `  scheduler tasks list --state failed
  scheduler tasks why 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf`,
	})
	tasks.AddCommand(a.tasksListCommand(), a.tasksGetCommand(), a.tasksWatchCommand(), a.tasksLogsCommand(), a.tasksWhyCommand(),
		a.tasksDeadCommand(),
		a.tasksCancelCommand(), a.tasksRetryCommand(), a.tasksRunCommand(), a.tasksEditCommand(), a.tasksDeleteCommand())
	return tasks
}

// list is how lists are printed as JSON: in the wire's form of a page.
type list[T any] struct {
	Items []T `json:"items"`
}

// withDoor opens the door for a command.
func (a *app) withDoor(cmd *cobra.Command, do func(context.Context, door.Door) error) error {
	d, err := a.door(cmd)
	if err != nil {
		return err
	}
	defer d.Close()
	return do(cmd.Context(), d)
}

// eachTask calls do for every id that is given, however the others went: their errors are printed as they come, and the
// command ends with the exit code of the first. Nothing is done when one of the ids is malformed.
func (a *app) eachTask(cmd *cobra.Command, ids []string, verb string, do func(context.Context, door.Door, string) error) error {
	if err := checkIDs(cmd, ids); err != nil {
		return err
	}
	return a.each(cmd, ids, func(ctx context.Context, d door.Door, id string) error {
		return doing(do(ctx, d, id), "%s task %s", verb, id)
	})
}

func checkIDs(cmd *cobra.Command, ids []string) error {
	for _, id := range ids {
		if _, err := scheduler.ParseTaskID(id); err != nil {
			return usage(cmd.CommandPath(), fmt.Sprintf("bad id %q", id), "an id is a UUID like 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf")
		}
	}
	return nil
}

// each calls do for every name; see eachTask.
func (a *app) each(cmd *cobra.Command, names []string, do func(context.Context, door.Door, string) error) error {
	return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
		var first error
		for _, name := range names {
			err := do(ctx, d, name)
			switch {
			case err == nil:
			case ctx.Err() != nil:
				return errors.Join(first, err)
			case first == nil:
				first = err
			default:
				explain(err).print(a.screen)
			}
		}
		return first
	})
}

// together calls do for all ids at once and returns the first error by their order, once all have ended.
func together(ids []string, do func(id string) error) error {
	errs := make([]error, len(ids))
	var all sync.WaitGroup // each ends with its do
	for i, id := range ids {
		all.Go(func() { errs[i] = do(id) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
