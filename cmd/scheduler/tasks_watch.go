package main

import (
	"context"
	"errors"
	"sync"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

func (a *app) tasksWatchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "watch ID…",
		Short: "Show the progress of tasks until they end",
		Long: `Show the progress of tasks until all have ended: a bar on a terminal, else a line at each change; with -o json the whole task in
place of a line. What a handler reports is stored four times a second at most, so no more lines come. Exit 7 when one failed
or was cancelled.`,
		Example: `  scheduler tasks watch 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf
  scheduler submit report.generate | xargs scheduler tasks watch`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := checkIDs(cmd, ids); err != nil {
				return err
			}
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error { return a.tasksWatch(ctx, d, ids) })
		},
	}
}

func (a *app) tasksWatch(ctx context.Context, d door.Door, ids []string) error {
	if len(ids) > 1 {
		a.screen.ErrColumns = nil // one bar has one place; several tasks are shown as lines
	}
	barred := a.screen.ErrColumns != nil
	var mu sync.Mutex
	var printing error
	say := func(task httpapi.Task) {
		mu.Lock()
		defer mu.Unlock()
		if a.screen.JSON {
			printing = errors.Join(printing, a.screen.PrintJSON(task))
			return
		}
		printing = errors.Join(printing, a.screen.Printf("%s  %s", task.ID, progressOf(task).Line()))
	}
	err := together(ids, func(id string) error {
		task, err := a.follow(ctx, d, id, say)
		switch {
		case ctx.Err() != nil && !task.Done:
			return context.Cause(ctx)
		case err != nil:
			return doing(err, "watch task %s", id)
		case barred && !a.screen.JSON:
			say(task)
		}
		return ended(task)
	})
	return errors.Join(printing, err)
}
