package door

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

// sqlDoor talks to the database.
type sqlDoor struct{ client *scheduler.Client }

// SQL returns a Door over a client, which it closes with itself.
func SQL(client *scheduler.Client) Door { return &sqlDoor{client} }

func (d *sqlDoor) Close() { d.client.Close() }

func (d *sqlDoor) Submit(ctx context.Context, request httpapi.SubmitRequest) (string, error) {
	if err := checkGiven(map[string]bool{"max_attempts": zero(request.MaxAttempts), "timeout_ms": zero(request.TimeoutMS),
		"unique_key": zero(request.UniqueKey), "idempotency_key": zero(request.IdempotencyKey)}); err != nil {
		return "", err
	}
	submitted, err := d.client.Submit(ctx, request.NewTask())
	return submitted.ID.String(), err
}

// checkGiven refuses values that are given and zero, which package scheduler would take for their defaults; a server refuses
// them too.
func checkGiven(zeros map[string]bool) error {
	for _, field := range slices.Sorted(maps.Keys(zeros)) {
		if zeros[field] {
			return invalid(field, "not zero and not empty")
		}
	}
	return nil
}

func zero[T comparable](value *T) bool { return value != nil && *value == *new(T) }

func (d *sqlDoor) read(ctx context.Context, id scheduler.TaskID) (httpapi.Task, error) {
	task, err := d.client.Task(ctx, id)
	return httpapi.NewTask(task), err
}

// with parses an id and calls do with it.
func with[T any](id string, do func(scheduler.TaskID) (T, error)) (T, error) {
	parsed, err := scheduler.ParseTaskID(id)
	if err != nil {
		var zero T
		return zero, err
	}
	return do(parsed)
}

func (d *sqlDoor) Task(ctx context.Context, id string) (httpapi.Task, error) {
	return with(id, func(id scheduler.TaskID) (httpapi.Task, error) { return d.read(ctx, id) })
}

func (d *sqlDoor) Await(ctx context.Context, id string) (httpapi.Task, error) {
	return with(id, func(id scheduler.TaskID) (httpapi.Task, error) {
		task, err := d.client.Wait(ctx, id)
		return httpapi.NewTask(task), err
	})
}

func (d *sqlDoor) Tasks(ctx context.Context, f Filter) (httpapi.Page[httpapi.Task], error) {
	page := httpapi.Page[httpapi.Task]{Items: []httpapi.Task{}}
	if f.Kind != "" && !scheduler.ValidKind(f.Kind) {
		return page, invalid("kind", `1 to 128 letters, digits and _ . : / \ -, not starting with punctuation`)
	}
	if f.Queue != "" && !scheduler.ValidQueue(scheduler.Queue(f.Queue)) {
		return page, invalid("queue", queueRule)
	}
	if f.Tag != "" && !scheduler.ValidTag(f.Tag) {
		return page, invalid("tag", "1 to 64 letters, digits and _ . - : / @ = +")
	}
	filter := scheduler.Filter{Queue: scheduler.Queue(f.Queue), Kind: f.Kind, State: scheduler.State(f.State), Tag: f.Tag, Text: f.Text,
		ErrorGroup: f.ErrorGroup, CreatedAfter: f.Since, CreatedBefore: f.Until, Limit: f.Limit}
	if f.Cursor != "" {
		before, err := parseCursor(f.Cursor)
		if err != nil {
			return page, err
		}
		filter.Before = before
	}
	tasks, next, err := d.client.Tasks(ctx, filter)
	for _, task := range tasks {
		page.Items = append(page.Items, httpapi.NewTask(task))
	}
	if !next.IsZero() {
		cursor := newCursor(next)
		page.NextCursor = &cursor
	}
	return page, err
}

// A cursor is spelled as the server spells it, so that it can be used through the other door; a test compares them.
const cursorBefore = 1

func newCursor(last scheduler.TaskID) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorBefore}, last[:]...))
}

func parseCursor(cursor string) (before scheduler.TaskID, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) != 1+len(before) || raw[0] != cursorBefore {
		return before, invalid("cursor", "the next_cursor of the page before, as it was")
	}
	copy(before[:], raw[1:])
	return before, nil
}

const queueRule = "1 to 128 letters, digits and _ . -, not starting with punctuation"

func invalid(field, rule string) error {
	return &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: field, Rule: rule}}}
}

func (d *sqlDoor) Cancel(ctx context.Context, id, reason string) (httpapi.Task, error) {
	return with(id, func(id scheduler.TaskID) (httpapi.Task, error) {
		if _, err := d.client.Cancel(ctx, id, reason); err != nil {
			return httpapi.Task{}, err
		}
		return d.read(ctx, id)
	})
}

func (d *sqlDoor) Retry(ctx context.Context, id string) (httpapi.Task, error) {
	return with(id, func(id scheduler.TaskID) (httpapi.Task, error) {
		if _, err := d.client.Retry(ctx, id); err != nil {
			return httpapi.Task{}, err
		}
		return d.read(ctx, id)
	})
}

func (d *sqlDoor) RunNow(ctx context.Context, id string) (httpapi.Task, error) {
	return with(id, func(id scheduler.TaskID) (httpapi.Task, error) {
		if _, err := d.client.RunNow(ctx, id); err != nil {
			return httpapi.Task{}, err
		}
		return d.read(ctx, id)
	})
}

func (d *sqlDoor) Edit(ctx context.Context, id string, fields map[string]any) (httpapi.Task, error) {
	return with(id, func(id scheduler.TaskID) (httpapi.Task, error) {
		raw, err := json.Marshal(fields)
		if err != nil {
			return httpapi.Task{}, err
		}
		edit, err := httpapi.ParseEdit(raw)
		if err != nil {
			return httpapi.Task{}, err
		}
		if err := d.client.Edit(ctx, id, edit); err != nil {
			return httpapi.Task{}, err
		}
		return d.read(ctx, id)
	})
}

func (d *sqlDoor) Audit(ctx context.Context, task string, limit int) ([]httpapi.Audit, error) {
	filter := scheduler.AuditFilter{Limit: limit}
	if task != "" {
		id, err := scheduler.ParseTaskID(task)
		if err != nil {
			return nil, err
		}
		filter.Task = id
	}
	list, _, err := d.client.Audit(ctx, filter)
	return wires(httpapi.NewAudit)(list, err)
}

func (d *sqlDoor) Delete(ctx context.Context, id string) error {
	_, err := with(id, func(id scheduler.TaskID) (struct{}, error) { return struct{}{}, d.client.Delete(ctx, id) })
	return err
}

func (d *sqlDoor) Attempts(ctx context.Context, id string) ([]httpapi.Attempt, error) {
	return with(id, func(id scheduler.TaskID) ([]httpapi.Attempt, error) {
		return wires(httpapi.NewAttempt)(d.client.Attempts(ctx, id))
	})
}

func (d *sqlDoor) Logs(ctx context.Context, id string, after int64, limit int) ([]httpapi.LogLine, error) {
	return with(id, func(id scheduler.TaskID) ([]httpapi.LogLine, error) {
		return wires(httpapi.NewLogLine)(d.client.Logs(ctx, id, after, limit))
	})
}

func (d *sqlDoor) Why(ctx context.Context, id string) ([]httpapi.Reason, error) {
	return with(id, func(id scheduler.TaskID) ([]httpapi.Reason, error) {
		return wires(httpapi.NewReason)(d.client.Explain(ctx, id))
	})
}

// wires turns a list of the database's into one of the wire's, never nil.
func wires[From, To any](wire func(From) To) func([]From, error) ([]To, error) {
	return func(list []From, err error) ([]To, error) {
		out := make([]To, len(list))
		for i, item := range list {
			out[i] = wire(item)
		}
		return out, err
	}
}

func (d *sqlDoor) Queues(ctx context.Context) ([]httpapi.Queue, error) {
	return wires(httpapi.NewQueue)(d.client.Queues(ctx))
}

func (d *sqlDoor) Minutes(ctx context.Context) ([]httpapi.Stat, error) {
	return wires(httpapi.NewStat)(d.client.Stats(ctx, scheduler.StatsFilter{}))
}

func (d *sqlDoor) PauseQueue(ctx context.Context, name string) (httpapi.QueuePause, error) {
	at, err := d.client.PauseQueue(ctx, scheduler.Queue(name))
	if err != nil {
		return httpapi.QueuePause{}, err
	}
	at = at.UTC()
	return httpapi.QueuePause{Name: name, Paused: true, PausedAt: &at}, nil
}

func (d *sqlDoor) ResumeQueue(ctx context.Context, name string) (httpapi.QueuePause, error) {
	if !scheduler.ValidQueue(scheduler.Queue(name)) {
		return httpapi.QueuePause{}, invalid("queue", queueRule)
	}
	_, err := d.client.ResumeQueue(ctx, scheduler.Queue(name))
	return httpapi.QueuePause{Name: name}, err
}

func (d *sqlDoor) Workers(ctx context.Context) ([]httpapi.Worker, error) {
	return wires(httpapi.NewWorker)(d.client.Workers(ctx))
}

func (d *sqlDoor) Command(ctx context.Context, id, command string) (httpapi.WorkerCommand, error) {
	worker, err := scheduler.ParseWorkerID(id)
	if err != nil {
		return httpapi.WorkerCommand{}, err
	}
	err = d.client.Command(ctx, worker, scheduler.Command(command))
	return httpapi.WorkerCommand{ID: worker.String(), Command: command}, err
}

func (d *sqlDoor) Schedules(ctx context.Context) ([]httpapi.Schedule, error) {
	return wires(httpapi.NewSchedule)(d.client.Schedules(ctx))
}

func (d *sqlDoor) schedule(ctx context.Context, name string) (httpapi.Schedule, error) {
	s, err := d.client.Schedule(ctx, name)
	return httpapi.NewSchedule(s), err
}

func (d *sqlDoor) SetSchedule(ctx context.Context, name string, request httpapi.ScheduleRequest) (httpapi.Schedule, error) {
	if err := checkGiven(map[string]bool{"max_attempts": zero(request.MaxAttempts), "timeout_ms": zero(request.TimeoutMS)}); err != nil {
		return httpapi.Schedule{}, err
	}
	s, err := d.client.SetSchedule(ctx, request.NewSchedule(name))
	return httpapi.NewSchedule(s), err
}

func (d *sqlDoor) Next(ctx context.Context, name string, count int) ([]time.Time, error) {
	s, err := d.client.Schedule(ctx, name)
	if err != nil {
		return nil, err
	}
	cron, err := scheduler.ParseCron(s.Expression, s.Zone)
	if err != nil {
		return nil, fmt.Errorf("schedule %s: %w", name, err)
	}
	if s.NextRunAt == nil || s.PausedAt != nil {
		return cron.NextN(time.Now(), count), nil
	}
	return append([]time.Time{s.NextRunAt.UTC()}, cron.NextN(*s.NextRunAt, count-1)...), nil
}

func (d *sqlDoor) Trigger(ctx context.Context, name string) (httpapi.Task, error) {
	id, err := d.client.TriggerSchedule(ctx, name)
	if err != nil {
		return httpapi.Task{}, err
	}
	return d.read(ctx, id)
}

func (d *sqlDoor) PauseSchedule(ctx context.Context, name string) (httpapi.Schedule, error) {
	if err := d.client.PauseSchedule(ctx, name); err != nil {
		return httpapi.Schedule{}, err
	}
	return d.schedule(ctx, name)
}

func (d *sqlDoor) ResumeSchedule(ctx context.Context, name string) (httpapi.Schedule, error) {
	if err := d.client.ResumeSchedule(ctx, name); err != nil {
		return httpapi.Schedule{}, err
	}
	return d.schedule(ctx, name)
}

func (d *sqlDoor) DeleteSchedule(ctx context.Context, name string) error {
	return d.client.DeleteSchedule(ctx, name)
}
