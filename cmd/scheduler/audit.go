package main

import (
	"context"
	"fmt"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

func (a *app) auditCommand() *cobra.Command {
	var task string
	var limit int
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show what was done by whom, newest first",
		Example: `  scheduler audit
  scheduler audit --task 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > pageSize {
				return usage(cmd.CommandPath(), fmt.Sprintf("bad --limit %d", limit), "it is 1 to %d", pageSize)
			}
			if task != "" {
				if err := checkIDs(cmd, []string{task}); err != nil {
					return err
				}
			}
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				actions, err := d.Audit(ctx, task, limit)
				if err != nil {
					return doing(err, "list what was done")
				}
				return a.showAudit(actions)
			})
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&task, "task", "", "only what was done to the task of this `id`")
	cmd.Flags().IntVar(&limit, "limit", 50, "show up to `N` actions")
	return cmd
}

func (a *app) showAudit(actions []httpapi.Audit) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(list[httpapi.Audit]{actions})
	}
	table := a.screen.Table("AT", "ACTOR", "VERB", "TARGET", "TASK", "DETAIL")
	for _, action := range actions {
		detail := compact(action.Detail)
		if detail == "{}" {
			detail = ""
		}
		table.Row(a.screen.Time(&action.At), action.Actor, action.Verb, action.Target, text(action.TaskID), detail)
	}
	return table.Flush()
}

// actor is who runs this program, for the rows of the audit.
func actor() string {
	name, host := "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}
