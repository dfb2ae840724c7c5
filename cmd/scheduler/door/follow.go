package door

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

// Outage is for how long who waits or follows sits out that the database or the server is away.
const Outage = 30 * time.Second

// From is where following a task begins.
type From struct {
	Lines bool  // log lines are wanted
	After int64 // id of the last line that is known; 0: none, the newest ones come
}

// Event is what is new of a task that is followed.
type Event struct {
	Task   *httpapi.Task     // as it is now; nil: as it was
	Lines  []httpapi.LogLine // further lines, in order
	Missed bool              // there were more lines before these: Logs has them
}

// done reports whether nothing more comes.
func (e Event) done() bool { return e.Task != nil && e.Task.Done }

// lookEvery is how often database or server are tried again, and how often a server is asked that has no streams.
const lookEvery = 200 * time.Millisecond

// silence is how long a database may say nothing until it is asked whether it is there.
const silence = 5 * time.Second

func (d *sqlDoor) Follow(ctx context.Context, id string, from From) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		parsed, err := scheduler.ParseTaskID(id)
		if err != nil {
			yield(Event{}, err)
			return
		}
		watcher := d.client.Watcher()
		defer watcher.Close()
		watcher.Add(parsed, scheduler.WatchFrom{NoLines: !from.Lines, Line: from.After})
		for away := (outage{}); ; {
			change, err := next(ctx, watcher)
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, context.DeadlineExceeded):
				if err = away.judge(d.client.Ping(ctx)); err == nil {
					continue
				}
				fallthrough
			case err != nil:
				yield(Event{}, err)
				return
			}
			event := eventOf(change)
			if !yield(event, nil) || event.done() {
				return
			}
		}
	}
}

func next(ctx context.Context, watcher *scheduler.Watcher) (scheduler.Change, error) {
	limited, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	_, change, err := watcher.Next(limited)
	return change, err
}

func eventOf(change scheduler.Change) Event {
	event := Event{Missed: change.Missed}
	for _, line := range change.Lines {
		event.Lines = append(event.Lines, httpapi.NewLogLine(line))
	}
	if change.Snapshot != nil {
		task := httpapi.NewTask(change.Snapshot.Task)
		event.Task = &task
	}
	return event
}

// outage is a time in which database or server were away; the zero value: there was none yet.
type outage struct{ since time.Time }

// judge returns the error of a try, or nil when there was none, or when it may yet pass.
func (o *outage) judge(err error) error {
	switch away := errors.Is(err, ErrUnreachable) || scheduler.Unavailable(err); {
	case err == nil:
		o.since = time.Time{}
	case away && o.since.IsZero():
		o.since = time.Now()
	case !away || time.Since(o.since) > Outage:
		return err
	}
	return nil
}

// poll follows a task through a server that has no streams.
func (d *httpDoor) poll(ctx context.Context, id string, from From, yield func(Event, error) bool) {
	const page = 1000
	var revision int64
	for away := (outage{}); ctx.Err() == nil; pause(ctx, lookEvery) {
		task, err := d.Task(ctx, id)
		event := Event{}
		if err == nil && from.Lines {
			event.Lines, err = d.Logs(ctx, id, from.After, page)
		}
		if err = away.judge(err); err != nil && ctx.Err() == nil {
			yield(Event{}, err)
			return
		}
		if task.ID == "" || ctx.Err() != nil {
			continue
		}
		if n := len(event.Lines); n > 0 {
			from.After = event.Lines[n-1].ID
		}
		if task.Revision != revision && len(event.Lines) < page {
			event.Task, revision = &task, task.Revision
		}
		if (event.Task != nil || len(event.Lines) > 0) && !yield(event, nil) || event.done() {
			return
		}
	}
}
