package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// ScanMost is how many tasks a page of a list looks at. When fewer of them match than a page holds, the page is not full, and
// the next one goes on where it stopped.
const ScanMost = 20000

// Filter chooses tasks. Zero fields choose all.
type Filter struct {
	Queue Queue
	Kind  string
	State State
	Tag   string
	Text  string // in kind, error, progress message or payload as JSON, whatever the case, or how an id begins; up to 200 bytes

	ErrorGroup string // only failed tasks whose errors read so; see DeadGroups

	CreatedAfter  time.Time // made at that time or later, by the millisecond in the task's id
	CreatedBefore time.Time // made earlier

	Before TaskID // only tasks made before this one: where the page before ended
	Limit  int    // 1 to 500; 0: 50
}

// maxSearch is the longest Filter.Text in bytes.
const maxSearch = 200

// newest is above every id of a task, and oldest not above any.
var newest, oldest = TaskID{0: 0xff, 1: 0xff, 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff, 6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff,
	13: 0xff, 14: 0xff, 15: 0xff}, TaskID{}

// Tasks returns tasks, newest first, at most Limit. next, unless zero, is what the next page starts Before. A page looks at
// ScanMost tasks at most: it may hold fewer than Limit, or none, and still not be the last. It returns *InvalidError for a
// bad Filter.
func (c *Client) Tasks(ctx context.Context, f Filter) (tasks []Task, next TaskID, err error) {
	if f.Limit == 0 {
		f.Limit = 50
	}
	if f.Limit < 1 || f.Limit > 500 {
		return nil, next, invalid("limit", "1 to 500")
	}
	f = f.settled()
	if err := f.check(); err != nil {
		return nil, next, err
	}
	if !storable(string(f.Queue)) || !storable(f.Kind) || !storable(f.Tag) || !storable(f.ErrorGroup) {
		return []Task{}, next, nil // nothing has such a name
	}
	args := f.args()
	args["limit"] = f.Limit + 1
	statement, floor, err := c.where(ctx, f, args, ScanMost)
	if err != nil {
		return nil, next, fmt.Errorf("list tasks: %w", err)
	}
	tasks, err = all[Task](ctx, c.reads, "list tasks", statement, args)
	switch {
	case err != nil:
		return nil, next, err
	case len(tasks) > f.Limit:
		return tasks[:f.Limit], tasks[f.Limit-1].ID, nil
	}
	return tasks, floor, nil
}

// settled is the filter with what follows from it: only failed tasks are of an error group.
func (f Filter) settled() Filter {
	if f.ErrorGroup != "" && f.State == "" {
		f.State = Failed
	}
	return f
}

// wireFilter is a Filter as JSON, as the HTTP API has it.
type wireFilter struct {
	State         State      `json:"state,omitempty"`
	Queue         Queue      `json:"queue,omitempty"`
	Kind          string     `json:"kind,omitempty"`
	Tag           string     `json:"tag,omitempty"`
	Text          string     `json:"q,omitempty"`
	ErrorGroup    string     `json:"error_group,omitempty"`
	CreatedAfter  *time.Time `json:"created_after,omitempty"`
	CreatedBefore *time.Time `json:"created_before,omitempty"`
}

func (f Filter) wire() wireFilter {
	return wireFilter{f.State, f.Queue, f.Kind, f.Tag, f.Text, f.ErrorGroup, nullTime(f.CreatedAfter), nullTime(f.CreatedBefore)}
}

func (w wireFilter) filter() Filter {
	f := Filter{State: w.State, Queue: w.Queue, Kind: w.Kind, Tag: w.Tag, Text: w.Text, ErrorGroup: w.ErrorGroup}
	if w.CreatedAfter != nil {
		f.CreatedAfter = *w.CreatedAfter
	}
	if w.CreatedBefore != nil {
		f.CreatedBefore = *w.CreatedBefore
	}
	return f
}

// check returns what is wrong with the filter, but for its Limit.
func (f Filter) check() error {
	switch {
	case f.State != "" && !f.State.Valid():
		return invalid("state", fmt.Sprintf("one of %v", States))
	case len(f.Text) > maxSearch || !storable(f.Text):
		return invalid("text", fmt.Sprintf("up to %d bytes of UTF-8 without NUL", maxSearch))
	}
	return nil
}

// args are the arguments of every statement that lists tasks, but for @limit and @tag.
func (f Filter) args() pgx.StrictNamedArgs {
	before, floor := newest, oldest
	if !f.CreatedBefore.IsZero() {
		before = firstID(f.CreatedBefore)
	}
	if !f.CreatedAfter.IsZero() {
		floor = firstID(f.CreatedAfter)
	}
	if !f.Before.IsZero() && f.Before.compare(before) < 0 {
		before = f.Before
	}
	args := pgx.StrictNamedArgs{"queue": null(string(f.Queue)), "kind": null(f.Kind), "state": null(string(f.State)), "text": null(f.Text),
		"error_group": null(f.ErrorGroup),
		"before":      before, "floor": floor}
	if f.Tag != "" {
		args["tag"] = f.Tag
	}
	return args
}

// where chooses the statement that finds what the filter asks for, and how far down it may look; floor, unless zero, is where
// the next page goes on when this one is not full. It looks at up to scan tasks.
func (c *Client) where(ctx context.Context, f Filter, args pgx.StrictNamedArgs, scan int) (statement string, floor TaskID, err error) {
	statement, ask := sql.Tasks, sql.TasksFloor
	asked := pgx.StrictNamedArgs{"before": args["before"], "scan": scan}
	switch {
	case f.Tag != "":
		statement, ask = sql.TasksTagged, sql.TasksFloorTagged
		asked["tag"] = f.Tag
	case f.State == Running:
		return sql.TasksRunning, floor, nil // as many as there are slots
	case f.State == Ready || f.State == Scheduled || f.State == Failed:
		few, err := one[struct{ Few bool }](ctx, c.reads, "count", sql.TasksFew, pgx.StrictNamedArgs{"state": f.State, "queue": args["queue"], "scan": scan})
		switch {
		case err != nil:
			return "", floor, err
		case few.Few:
			return map[State]string{Ready: sql.TasksReady, Scheduled: sql.TasksWaiting, Failed: sql.TasksDead}[f.State], floor, nil
		case f.State == Failed && f.Queue != "":
			statement, ask = sql.TasksDead, sql.TasksFloorDead
			asked["queue"] = f.Queue
		}
	case args["states"] == nil && f.Queue == "" && f.Kind == "" && f.State == "" && f.Text == "": // nor an error group, which has a state
		return statement, floor, nil // whatever is looked at matches
	}
	stop, err := one[struct{ ID TaskID }](ctx, c.reads, "bound", ask, asked)
	switch {
	case errors.Is(err, ErrNotFound):
		return statement, floor, nil
	case err != nil:
		return "", floor, err
	case stop.ID.compare(args["floor"].(TaskID)) > 0:
		args["floor"], floor = stop.ID, stop.ID
	}
	return statement, floor, nil
}
