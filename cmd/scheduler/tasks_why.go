package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

// whyNot is what tasks why says of one task, as JSON.
type whyNot struct {
	ID    string           `json:"id"`
	Items []httpapi.Reason `json:"items"`
}

func (a *app) tasksWhyCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "why ID…",
		Short:   "Say why tasks do not run, and what to do about it",
		Example: `  scheduler tasks why 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf`,
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.eachTask(cmd, ids, "explain", func(ctx context.Context, d door.Door, id string) error {
				reasons, err := d.Why(ctx, id)
				switch {
				case err != nil:
					return err
				case a.screen.JSON:
					return a.screen.PrintJSON(whyNot{id, reasons})
				case len(ids) > 1:
					if err := a.screen.Printf("%s", id); err != nil {
						return err
					}
				}
				return a.showReasons(reasons)
			})
		},
	}
}

func (a *app) showReasons(reasons []httpapi.Reason) error {
	for _, r := range reasons {
		if err := a.screen.Printf("%s", r.Reason); err != nil {
			return err
		}
		if r.Fix != nil {
			if err := a.screen.Printf("  run: %s", *r.Fix); err != nil {
				return err
			}
		}
	}
	return nil
}
