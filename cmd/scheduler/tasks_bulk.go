package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

// bulkFlags choose all tasks that match, instead of ids.
type bulkFlags struct {
	all          bool
	filter       httpapi.TaskFilter
	since, until string
}

// bulkable gives a command that takes ids the flag --all and those that choose.
func (a *app) bulkable(cmd *cobra.Command, verb string, reason *string) *cobra.Command {
	var f bulkFlags
	ids, some := cmd.Args, cmd.RunE
	cmd.Use += " | --all"
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if f.all {
			return takes(0, 0)(cmd, args)
		}
		return ids(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !f.all {
			for _, flag := range bulkChoices {
				if cmd.Flags().Changed(flag) {
					return usage(cmd.CommandPath(), "--"+flag+" without --all", "it chooses among all tasks, not among ids")
				}
			}
			return some(cmd, args)
		}
		for _, flag := range bulkChoices {
			if given := cmd.Flags().Lookup(flag); given.Changed && given.Value.String() == "" {
				return usage(cmd.CommandPath(), "--"+flag+" is empty", "leave it out to mean all")
			}
		}
		request := httpapi.BulkRequest{Verb: verb, Filter: &f.filter, Reason: *reason}
		var err error
		if f.filter.CreatedAfter, err = instant(cmd, "since", f.since); err != nil {
			return err
		}
		if f.filter.CreatedBefore, err = instant(cmd, "until", f.until); err != nil {
			return err
		}
		return a.withDoor(cmd, func(ctx context.Context, d door.Door) error { return a.bulk(ctx, d, request) })
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.all, "all", false, verb+" all tasks that can be and that match, however many")
	flags.StringVar(&f.filter.State, "state", "", "with --all: only tasks in this `state`")
	flags.StringVar(&f.filter.Queue, "queue", "", "with --all: only tasks of this queue, by `name`")
	flags.StringVar(&f.filter.Kind, "kind", "", "with --all: only tasks of this `kind`")
	flags.StringVar(&f.filter.Tag, "tag", "", "with --all: only tasks with this `word` as a tag")
	flags.StringVar(&f.filter.Text, "text", "", "with --all: only tasks with this `text`, as in tasks list")
	flags.StringVar(&f.filter.ErrorGroup, "error-group", "", "with --all: only failed tasks of this `group` of tasks dead")
	flags.StringVar(&f.since, "since", "", "with --all: only tasks made at this `time` (RFC 3339) or later")
	flags.StringVar(&f.until, "until", "", "with --all: only tasks made before this `time` (RFC 3339)")
	return cmd
}

var bulkChoices = []string{"state", "queue", "kind", "tag", "text", "error-group", "since", "until"}

// bulk begins a bulk and waits for its end. When the command is stopped, whoever serves or works goes on with it.
func (a *app) bulk(ctx context.Context, d door.Door, request httpapi.BulkRequest) error {
	b, err := d.BeginBulk(ctx, request)
	if err != nil {
		return doing(err, "begin to %s all", request.Verb)
	}
	if !a.screen.JSON && b.Total != nil {
		a.screen.Hintf("%s %s (bulk %s)", request.Verb, some(*b.Total, "task"), b.ID)
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for b.State == "running" {
		b, err = patient(ctx, func() (httpapi.Bulk, error) { return d.Bulk(ctx, b.ID) })
		if err != nil {
			return doing(err, "look at bulk %s", b.ID)
		}
		if b.State != "running" {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	if a.screen.JSON {
		return a.screen.PrintJSON(b)
	}
	return a.screen.Printf("%s  %s: %d done, %d skipped", b.Verb, b.State, b.Done, b.Skipped)
}

func (a *app) tasksDeadCommand() *cobra.Command {
	var queue, kind string
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Group failed tasks by how their errors read",
		Long:  "Group the newest 20,000 failed tasks by how their errors read: ids, quoted texts, URLs, paths and numbers count for nothing.",
		Example: `  scheduler tasks dead
  scheduler tasks retry --all --error-group 5f2b1c0d9e8a7f61`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				groups, err := d.Dead(ctx, queue, kind)
				if err != nil {
					return doing(err, "group the failed tasks")
				}
				return a.showDead(groups)
			})
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&queue, "queue", "", "only tasks of this queue, by `name`")
	cmd.Flags().StringVar(&kind, "kind", "", "only tasks of this `kind`")
	return cmd
}

func (a *app) showDead(groups httpapi.DeadGroups) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(groups)
	}
	table := a.screen.Table("GROUP", "TASKS", "LAST", "KIND", "ERROR")
	for _, g := range groups.Items {
		kind := ""
		if len(g.Kinds) > 0 {
			kind = g.Kinds[0]
		}
		if len(g.Kinds) > 1 {
			kind += fmt.Sprintf(" +%d", len(g.Kinds)-1)
		}
		table.Row(g.ErrorGroup, fmt.Sprint(g.Tasks), a.screen.Time(&g.LastAt), kind, g.ErrorCode+": "+g.Shape)
	}
	return table.Flush()
}
