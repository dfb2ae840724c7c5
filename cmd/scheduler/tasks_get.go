package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
	"github.com/pgscheduler/scheduler/httpapi"
)

func (a *app) tasksGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "get ID…",
		Short: "Show tasks with their attempts",
		Example: `  scheduler tasks get 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf
  scheduler tasks get 01a1fbc0-c975-7f37-a6be-a8f3e8777fbf -o json | jq .result`,
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			first := true
			return a.eachTask(cmd, ids, "get", func(ctx context.Context, d door.Door, id string) error {
				task, err := d.Task(ctx, id)
				if err != nil {
					return err
				}
				if a.screen.JSON {
					return a.screen.PrintJSON(task)
				}
				attempts, err := d.Attempts(ctx, id)
				if err != nil {
					return err
				}
				if !first {
					a.screen.Printf("") //nolint:errcheck // what follows reports it
				}
				first = false
				return a.showTask(task, attempts)
			})
		},
	}
}

func (a *app) showTask(t httpapi.Task, attempts []httpapi.Attempt) error {
	pairs := [][2]string{
		{"id", t.ID}, {"kind", t.Kind}, {"queue", t.Queue}, {"state", t.State}, {"priority", fmt.Sprint(t.Priority)},
		{"payload", compact(t.Payload)}, {"progress", progressText(t)}, {"result", resultText(t.Result)}, {"error", errorText(t.Error)},
		{"attempt", fmt.Sprintf("%d, with %d of %d failures", t.Attempt, t.Failures, t.MaxAttempts)}, {"crashes", nonZero(t.Crashes)},
		{"created", a.screen.Time(&t.CreatedAt)}, {"due", a.due(t)}, {"started", a.maybe(t.StartedAt)},
		{"finished", a.maybe(t.FinishedAt)}, {"expires", a.maybe(t.ExpiresAt)}, {"worker", workerText(t.Worker)},
		{"timeout", milli(t.TimeoutMS)}, {"backoff", backoffText(t.BackoffMS)}, {"tags", strings.Join(t.Tags, ", ")}, {"trace", text(t.TraceParent)}, {"unique key", text(t.UniqueKey)},
		{"idempotency key", text(t.IdempotencyKey)}, {"schedule", text(t.Schedule)}, {"tick", a.maybe(t.TickAt)}, {"topic", text(t.Topic)},
	}
	if t.CancelRequested && !t.Done {
		pairs = append(pairs, [2]string{"cancelling", "asked to stop"})
	}
	if err := a.screen.Fields(pairs...); err != nil {
		return err
	}
	if len(attempts) == 0 {
		return nil
	}
	if err := a.screen.Printf(""); err != nil {
		return err
	}
	table := a.screen.Table("ATTEMPT", "OUTCOME", "STARTED", "TOOK", "WORKER", "ERROR")
	for _, at := range attempts {
		table.Row(fmt.Sprint(at.Attempt), at.Outcome, a.screen.Time(&at.StartedAt), milli(at.DurationMS), workerText(&at.Worker), errorText(at.Error))
	}
	return table.Flush()
}

// due is when a task that waits is due; "": it does not wait.
func (a *app) due(t httpapi.Task) string {
	if t.StartedAt != nil && t.State != "scheduled" {
		return ""
	}
	return a.screen.Time(&t.RunAt)
}

func (a *app) maybe(t *time.Time) string {
	if t == nil {
		return ""
	}
	return a.screen.Time(t)
}

// compact is JSON without needless space, however it came.
func compact(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// resultText is "" for no result: none at all from the database, null from a server.
func resultText(raw json.RawMessage) string {
	if text := compact(raw); text != "null" {
		return text
	}
	return ""
}

func progressText(t httpapi.Task) string {
	if t.Progress == nil {
		return ""
	}
	p := progressOf(t)
	p.Label, p.State = "", ""
	return strings.TrimSpace(p.Line())
}

func errorText(e *httpapi.TaskError) string {
	if e == nil {
		return ""
	}
	return e.Code + ": " + e.Message
}

func workerText(w *httpapi.TaskWorker) string {
	switch {
	case w == nil:
		return ""
	case w.Name == nil:
		return w.ID
	}
	return *w.Name
}

func milli(ms *int64) string {
	if ms == nil {
		return ""
	}
	return screen.Span(time.Duration(*ms) * time.Millisecond)
}

func backoffText(list []int64) string {
	var parts []string
	for i := range list {
		parts = append(parts, milli(&list[i]))
	}
	return strings.Join(parts, ", ")
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func nonZero(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
