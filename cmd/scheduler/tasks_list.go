package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

const pageSize = 500 // the most that a page may have

func (a *app) tasksListCommand() *cobra.Command {
	var f door.Filter
	var all, follow bool
	var since, until string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tasks, newest first",
		Example: `  scheduler tasks list --state failed --queue mail
  scheduler tasks list --kind report.generate --all -o json | jq -c '.items[].result'
  scheduler tasks list --text 'connection refused' --since 2026-11-20T06:00:00Z
  scheduler tasks list --tag customer:42 --follow`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Limit < 1 {
				return usage(cmd.CommandPath(), fmt.Sprintf("bad --limit %d", f.Limit), "it is 1 and up")
			}
			if err := exclusive(cmd, "all", "limit"); err != nil {
				return err
			}
			for _, other := range []string{"all", "cursor", "until"} {
				if err := exclusive(cmd, "follow", other); err != nil {
					return err
				}
			}
			if err := between(cmd, &f, since, until); err != nil {
				return err
			}
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				if follow {
					return a.tasksFollow(ctx, d, f)
				}
				return a.tasksList(ctx, d, f, all)
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.State, "state", "", "only tasks in this `state`")
	flags.StringVar(&f.Queue, "queue", "", "only tasks of this queue, by `name`")
	flags.StringVar(&f.Kind, "kind", "", "only tasks of this `kind`")
	flags.StringVar(&f.Tag, "tag", "", "only tasks with this `word` as a tag")
	flags.StringVar(&f.Text, "text", "", "only tasks with this `text` in kind, error, progress or payload, or whose id begins with it")
	flags.StringVar(&f.ErrorGroup, "error-group", "", "only failed tasks of this `group` of tasks dead")
	flags.StringVar(&since, "since", "", "only tasks made at this `time` (RFC 3339) or later")
	flags.StringVar(&until, "until", "", "only tasks made before this `time` (RFC 3339)")
	flags.IntVar(&f.Limit, "limit", 50, "show up to `N` tasks")
	flags.StringVar(&f.Cursor, "cursor", "", "go on behind the list that ended with this `cursor`")
	flags.BoolVar(&all, "all", false, "show all, however many")
	flags.BoolVarP(&follow, "follow", "f", false, "show the newest --limit tasks, oldest first, and then new ones as they are made")
	must(cmd.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(states(), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// between reads the times that tasks must have been made between.
func between(cmd *cobra.Command, f *door.Filter, since, until string) error {
	for _, bound := range []struct {
		flag, value string
		into        *time.Time
	}{{"since", since, &f.Since}, {"until", until, &f.Until}} {
		at, err := instant(cmd, bound.flag, bound.value)
		if err != nil {
			return err
		}
		if at != nil {
			*bound.into = *at
		}
	}
	return nil
}

func states() []string {
	var names []string
	for _, state := range scheduler.States {
		names = append(names, string(state))
	}
	return names
}

// tasksList prints page after page; as JSON each is a line.
func (a *app) tasksList(ctx context.Context, d door.Door, f door.Filter, all bool) error {
	table := a.taskTable()
	left := f.Limit
	for {
		f.Limit = min(left, pageSize)
		if all {
			f.Limit = pageSize
		}
		page, err := d.Tasks(ctx, f)
		if err != nil {
			return doing(err, "list tasks")
		}
		if a.screen.JSON {
			if err := a.screen.PrintJSON(page); err != nil {
				return err
			}
		}
		for _, task := range page.Items {
			table.Row(a.cells(task)...)
		}
		left -= len(page.Items)
		if page.NextCursor == nil || left <= 0 && !all {
			return a.endList(table, page.NextCursor)
		}
		f.Cursor = *page.NextCursor
	}
}

// taskTable is a table of tasks, one row of cells each.
func (a *app) taskTable() *screen.Table {
	return a.screen.Table("ID", "STATE", "CREATED", "KIND", "QUEUE", "ATTEMPT", "PROGRESS")
}

func (a *app) cells(task httpapi.Task) []string {
	return []string{task.ID, task.State, a.screen.Time(&task.CreatedAt), task.Kind, task.Queue,
		fmt.Sprintf("%d/%d", task.Attempt, task.MaxAttempts), summary(task)}
}

func (a *app) endList(table *screen.Table, next *string) error {
	if a.screen.JSON {
		return nil
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if next != nil {
		a.screen.Hintf("there are more: --cursor %s, or --all", *next)
	}
	return nil
}

// summary is how far a task is, or how it went wrong.
func summary(task httpapi.Task) string {
	if task.Error != nil && task.State != string(scheduler.Running) {
		return task.Error.Code + ": " + task.Error.Message
	}
	p := progressOf(task)
	text := p.Message
	if percent := p.Percent(); percent >= 0 {
		text = fmt.Sprintf("%d%% %s", percent, text)
	}
	return text
}
