package main

import (
	"context"
	"slices"
	"time"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

const listEvery = time.Second // between two looks for new tasks

// late is how long a task may take from its making until it can be seen: a transaction that submits may take a while.
const late = 30 * time.Second

// tasksFollow prints the newest tasks, oldest first, and then those that are made, until it is stopped. Tasks come to be seen
// in another order than that of their making, so each look begins a while before the newest that was seen.
func (a *app) tasksFollow(ctx context.Context, d door.Door, f door.Filter) error {
	tick := time.NewTicker(listEvery)
	defer tick.Stop()
	table := a.taskTable()
	seen, most := map[string]time.Time{}, f.Limit
	var newest time.Time
	var oldest string // id below which nothing is shown
	for {
		fresh, err := patient(ctx, func() ([]httpapi.Task, error) { return a.unseen(ctx, d, f, most, seen, oldest) })
		if err != nil {
			return doing(err, "list tasks")
		}
		for _, task := range fresh {
			made := madeAt(task)
			if seen[task.ID] = made; made.After(newest) {
				newest = made
			}
			if a.screen.JSON {
				if err := a.screen.PrintJSON(task); err != nil {
					return err
				}
				continue
			}
			table.Row(a.cells(task)...)
		}
		if !a.screen.JSON {
			if err := table.Flush(); err != nil {
				return err
			}
		}
		if most > 0 && len(fresh) == most { // older ones were left out, and stay so
			f.Since, oldest = madeAt(fresh[0]), fresh[0].ID
		}
		most = 0
		if from := newest.Add(-late); from.After(f.Since) {
			f.Since = from
		}
		for id, at := range seen {
			if at.Before(f.Since.Add(-time.Second)) {
				delete(seen, id)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// madeAt is the time in the id, by which lists are bounded.
func madeAt(task httpapi.Task) time.Time {
	id, err := scheduler.ParseTaskID(task.ID)
	if err != nil {
		return task.CreatedAt
	}
	return id.Time()
}

// unseen returns the tasks that were not printed yet, oldest first; of the newest most of them when that is not 0.
func (a *app) unseen(ctx context.Context, d door.Door, f door.Filter, most int, seen map[string]time.Time, oldest string) ([]httpapi.Task, error) {
	var fresh []httpapi.Task
	for f.Limit = pageSize; ; {
		page, err := d.Tasks(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, task := range page.Items {
			if _, printed := seen[task.ID]; !printed && task.ID >= oldest {
				fresh = append(fresh, task)
			}
		}
		enough := most > 0 && len(fresh) >= most
		if enough {
			fresh = fresh[:most]
		}
		if page.NextCursor == nil || enough {
			slices.Reverse(fresh)
			return fresh, nil
		}
		f.Cursor = *page.NextCursor
	}
}
