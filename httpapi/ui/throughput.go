package ui

import (
	"context"

	"github.com/pgscheduler/scheduler/scheduler"
)

// throughput reads how much was done in a span: 1h in minutes, 24h in quarters of an hour.
func (u *UI) throughput(_ context.Context, _ string) (series, error) { return series{}, nil }

// list reads a page of tasks, and where the next one starts.
func (u *UI) list(ctx context.Context, f scheduler.Filter) ([]scheduler.Task, scheduler.TaskID, error) {
	tasks, more, err := u.client.Tasks(ctx, f)
	if err != nil || !more {
		return tasks, scheduler.TaskID{}, err
	}
	return tasks, tasks[len(tasks)-1].ID, nil
}
