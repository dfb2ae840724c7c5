package scheduler

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// StateCount is how many tasks are in a state.
type StateCount struct {
	State       State `db:"state"`
	Tasks       int64 `db:"tasks"`       // CountCap and not Approximate, but for Running: that many or more
	Approximate bool  `db:"approximate"` // worked out from the planner's statistics
}

// CountStates returns how many tasks there are, one for each state, at a cost that does not grow with the table.
func (c *Client) CountStates(ctx context.Context) ([]StateCount, error) {
	list, err := all[StateCount](ctx, c.reads, "count tasks", sql.Counts, pgx.StrictNamedArgs{"cap": CountCap})
	if err != nil {
		return nil, err
	}
	sorted := make([]StateCount, 0, len(list))
	for _, state := range States {
		for _, count := range list {
			if count.State == state {
				sorted = append(sorted, count)
			}
		}
	}
	return sorted, nil
}

// OldestReady returns the ready task of a queue that is leased next, or ErrNotFound.
func (c *Client) OldestReady(ctx context.Context, queue Queue) (TaskID, error) {
	type row struct{ ID TaskID }
	r, err := one[row](ctx, c.reads, "read the oldest ready task", sql.OldestReady, pgx.StrictNamedArgs{"queue": queue})
	return r.ID, err
}

// Fired is a tick of a schedule that made a task.
type Fired struct {
	Schedule string    `db:"schedule"`
	TickAt   time.Time `db:"tick_at"`
	TaskID   TaskID    `db:"task_id"`
	State    *State    `db:"state"` // nil: the task was deleted
}

// LastTicks returns up to limit (1 to 100) of the last ticks of each schedule, by schedule, newest first.
func (c *Client) LastTicks(ctx context.Context, limit int) ([]Fired, error) {
	if limit < 1 || limit > 100 {
		return nil, invalid("limit", "1 to 100")
	}
	return all[Fired](ctx, c.reads, "list ticks", sql.ScheduleTicks, pgx.StrictNamedArgs{"limit": limit})
}

// Statement returns what Tasks asks the database for a filter, for people to read, with its arguments; when there is much to look
// at, Tasks bounds it by another @floor. nil arguments are NULL.
func (f Filter) Statement() (text string, args map[string]any) {
	text = sql.Tasks
	switch {
	case f.Tag != "":
		text = sql.TasksTagged
	case f.State == Running:
		text = sql.TasksRunning
	case f.State == Ready:
		text = sql.TasksReady
	case f.State == Scheduled:
		text = sql.TasksWaiting
	case f.State == Failed:
		text = sql.TasksDead
	}
	args = map[string]any{"limit": max(f.Limit, 1)}
	for name, value := range f.args() {
		if s, ok := value.(*string); ok {
			value = nil
			if s != nil {
				value = *s
			}
		}
		args[name] = value
	}
	return text, args
}
