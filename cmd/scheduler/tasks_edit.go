package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
)

func (a *app) tasksRunCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "run ID…",
		Short:   "Make scheduled tasks ready before their time",
		Example: `  scheduler tasks run 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf`,
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return a.eachTask(cmd, ids, "run", func(ctx context.Context, d door.Door, id string) error { return a.changed(d.RunNow(ctx, id)) })
		},
	}
}

// editFlags are what an edit can change.
type editFlags struct {
	payload, at, expiresAt string
	priority, maxAttempts  int
	timeout                time.Duration
	backoff                []time.Duration
	tags                   []string
}

func (a *app) tasksEditCommand() *cobra.Command {
	var f editFlags
	cmd := &cobra.Command{
		Use:   "edit ID…",
		Short: "Change tasks that neither run nor are completed",
		Long: `Change tasks that neither run nor are completed; what is not given stays as it is. A failed or cancelled task stays so, and
its next retry has what was changed.`,
		Example: `  scheduler tasks edit 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf --priority -5 --payload '{"to": "ann@example.org"}'
  scheduler tasks edit 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf --expires-at never --timeout 0`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			fields, err := a.editFields(cmd, f)
			if err != nil {
				return err
			}
			return a.eachTask(cmd, ids, "edit", func(ctx context.Context, d door.Door, id string) error { return a.changed(d.Edit(ctx, id, fields)) })
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.payload, "payload", "", "the new payload: `JSON`, @file, or - for stdin")
	flags.IntVar(&f.priority, "priority", 0, "lower runs first, -32768 to 32767")
	flags.StringVar(&f.at, "at", "", "do not start before this `time` (RFC 3339); see also: scheduler tasks run")
	flags.IntVar(&f.maxAttempts, "max-attempts", 10, "give up after so many failures")
	flags.DurationVar(&f.timeout, "timeout", 0, "end an attempt that runs longer; 0: no limit")
	flags.StringVar(&f.expiresAt, "expires-at", "", "cancel it when it has not started by this `time` (RFC 3339), or never")
	flags.DurationSliceVar(&f.backoff, "backoff", nil, "wait so long after the first, second, … failure, as 1s,5s,1m; the last repeats")
	flags.StringArrayVar(&f.tags, "tag", nil, "find it by this `word` and no other; can be given up to 16 times")
	return cmd
}

// editFields are the flags that were given, by their names on the wire; nil: back to the default.
func (a *app) editFields(cmd *cobra.Command, f editFlags) (fields map[string]any, err error) {
	fields = map[string]any{}
	changed := cmd.Flags().Changed
	if changed("payload") {
		var raw json.RawMessage
		if raw, err = a.payload(cmd, f.payload); err != nil {
			return nil, err
		}
		fields["payload"] = raw
	}
	for flag, value := range map[string]any{"priority": f.priority, "max-attempts": f.maxAttempts, "backoff": milliseconds(f.backoff), "tag": f.tags} {
		if changed(flag) {
			fields[map[string]string{"priority": "priority", "max-attempts": "max_attempts", "backoff": "backoff_ms", "tag": "tags"}[flag]] = value
		}
	}
	if changed("timeout") {
		fields["timeout_ms"] = nil
		if f.timeout != 0 {
			fields["timeout_ms"] = f.timeout.Milliseconds()
		}
	}
	if changed("at") {
		at, err := instant(cmd, "at", f.at)
		if err != nil {
			return nil, err
		}
		fields["run_at"] = at
	}
	if changed("expires-at") {
		fields["expires_at"] = nil
		if f.expiresAt != "never" {
			at, err := instant(cmd, "expires-at", f.expiresAt)
			if err != nil {
				return nil, err
			}
			fields["expires_at"] = at
		}
	}
	if len(fields) == 0 {
		return nil, usage(cmd.CommandPath(), "nothing to change", "give at least one of its flags")
	}
	return fields, nil
}
