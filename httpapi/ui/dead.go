package ui

import (
	"net/http"
	"net/url"

	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// deadData is what the dead letters show.
type deadData struct {
	Bulks    []bulkRow
	Groups   []groupRow
	LookedAt int64
	Partly   bool // there are more dead letters than were looked at
	Table    table
	Older    string
}

// groupRow is a group of dead letters.
type groupRow struct {
	scheduler.DeadGroup
	Path   string // of the list of its tasks
	Filter string // the same as a query, for a bulk
}

// dead shows the tasks that gave up, by what they say and by themselves.
func (u *UI) dead(r *http.Request) (*screen, error) {
	filter := scheduler.Filter{State: scheduler.Failed, Limit: pageRows}
	if before := r.URL.Query().Get("before"); before != "" {
		var err error
		if filter.Before, err = scheduler.ParseTaskID(before); err != nil {
			return nil, err
		}
	}
	var data deadData
	var groups []scheduler.DeadGroup
	var tasks []scheduler.Task
	var next scheduler.TaskID
	group, ctx := errgroup.WithContext(r.Context())
	group.Go(func() (err error) { tasks, next, err = u.client.Tasks(ctx, filter); return err })
	group.Go(func() (err error) { groups, err = u.client.DeadGroups(ctx, "", ""); return err })
	group.Go(func() (err error) { data.Bulks, err = u.bulks(r.WithContext(ctx)); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	data.Table = newTable(tasks, scheduler.Failed)
	data.Table.Pick = true
	wire := []any{}
	for _, g := range groups {
		query := url.Values{"state": {string(scheduler.Failed)}, "group": {g.ErrorGroup}}.Encode()
		data.Groups = append(data.Groups, groupRow{DeadGroup: g, Path: "/tasks?" + query, Filter: query})
		data.LookedAt, data.Partly = int64(g.LookedAt), g.LookedAt >= scheduler.ScanMost
		wire = append(wire, map[string]any{"error_group": g.ErrorGroup, "error_code": g.ErrorCode, "shape": g.Shape, "tasks": g.Tasks, "kinds": g.Kinds,
			"queues": g.Queues, "first_at": g.FirstAt.UTC(), "last_at": g.LastAt.UTC(), "sample": g.Sample})
	}
	if !next.IsZero() {
		data.Older = "/dead?before=" + next.String()
	}
	return &screen{Name: "dead", Title: "Dead letters", Data: data, Wire: map[string]any{"groups": wire, "items": list(tasks, u.config.Wire.Task)},
		SQL: []Statement{statement(sql.DeadGroups, map[string]any{"queue": "", "kind": "", "scan": scheduler.ScanMost, "limit": 100}), listStatement(filter)}}, nil
}
