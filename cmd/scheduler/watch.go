package main

import (
	"context"
	"errors"
	"time"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

const lookEvery = 200 * time.Millisecond // at what can't be reached, until it can

// await waits for a task that was just submitted, shows its progress meanwhile if that was asked for, and prints its
// result: with JSON the whole task, once, or at each change of it.
func (a *app) await(ctx context.Context, d door.Door, id string, f submitFlags) (err error) {
	var task httpapi.Task
	var printing error
	tell := func(task httpapi.Task) { printing = errors.Join(printing, a.screen.PrintJSON(task)) }
	switch {
	case !f.watch:
		task, err = patient(ctx, func() (httpapi.Task, error) { return d.Await(ctx, id) })
	case a.screen.JSON:
		task, err = a.follow(ctx, d, id, tell)
	default:
		task, err = a.follow(ctx, d, id, a.lineOf(a.screen.Hintf))
	}
	timely := ctx.Err() == nil || task.Done // else it may be that a call was cut off
	switch {
	case err != nil && timely:
		return doing(err, "wait for task %s", id)
	case a.screen.JSON && !f.watch && task.ID != "":
		tell(task)
	case !a.screen.JSON && task.State == string(scheduler.Completed):
		printing = a.screen.PrintJSON(task.Result)
	}
	if !timely {
		return errors.Join(printing, a.notDone(ctx, id, f.wait))
	}
	return errors.Join(printing, ended(task))
}

// notDone is how waiting ends when the task has not: out of time, or stopped by a signal.
func (a *app) notDone(ctx context.Context, id string, limit time.Duration) error {
	p := &problem{exitTimeout, "task " + id + " is not done", screen.Span(limit) + " of waiting are over; the task goes on", "scheduler tasks watch " + id}
	var signalled *interrupted
	if errors.As(context.Cause(ctx), &signalled) {
		p.code, p.what, p.why = signalled.exitCode(), "stopped waiting for task "+id, "this command got a signal; the task goes on"
	}
	return p
}

// ended is the error of a command whose task did not complete.
func ended(task httpapi.Task) error {
	if task.State == string(scheduler.Completed) {
		return nil
	}
	p := &problem{exitTaskFailed, "task " + task.ID + " is " + task.State, "no reason was given", "scheduler tasks get " + task.ID}
	if task.Error != nil {
		p.why = task.Error.Code + ": " + task.Error.Message
	}
	return p
}

// lineOf returns what shows a task as a line of text.
func (a *app) lineOf(printf func(string, ...any)) func(httpapi.Task) {
	return func(task httpapi.Task) { printf("%s  %s", task.ID, progressOf(task).Line()) }
}

// follow shows the progress of a task until it is done or ctx ends: as a bar on a terminal, unless data is JSON; else by
// say, at each change. It returns the task as last read, with a nil error when ctx has ended.
func (a *app) follow(ctx context.Context, d door.Door, id string, say func(httpapi.Task)) (task httpapi.Task, err error) {
	show, end := a.shower(say)
	defer end()
	for event, err := range d.Follow(ctx, id, door.From{}) {
		switch {
		case err != nil:
			return task, err
		case event.Task == nil:
			continue
		}
		task = *event.Task
		if show(task); task.Done {
			break
		}
	}
	return task, nil
}

// shower returns what shows a task, as a bar or by say: with data as text only what reads otherwise than the last time.
func (a *app) shower(say func(httpapi.Task)) (show func(httpapi.Task), end func()) {
	if a.screen.ErrColumns != nil && !a.screen.JSON {
		return func(task httpapi.Task) { a.screen.Draw(progressOf(task)) }, a.screen.Wipe
	}
	said := ""
	return func(task httpapi.Task) {
		line := progressOf(task).Line()
		if line != said || a.screen.JSON {
			say(task)
		}
		said = line
	}, func() {}
}

// patient tries a read again while the database or the server is away, for as long as an outage may last.
func patient[T any](ctx context.Context, read func() (T, error)) (T, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for begun := time.Now(); ; {
		value, err := read()
		away := errors.Is(err, door.ErrUnreachable) || scheduler.Unavailable(err)
		if err == nil || !away || ctx.Err() != nil || time.Since(begun) > door.Outage {
			return value, err
		}
		select {
		case <-ctx.Done():
			return value, err
		case <-tick.C:
		}
	}
}

// progressOf is what a bar shows of a task. The time left is worked out by the database's clock alone.
func progressOf(task httpapi.Task) screen.Progress {
	p := screen.Progress{Label: task.Kind, State: task.State}
	if task.State == string(scheduler.Running) && task.CancelRequested {
		p.State = "cancelling"
	}
	reported := task.Progress
	if reported == nil {
		return p
	}
	p.Current = reported.Current
	if reported.Total != nil {
		p.Total = *reported.Total
	}
	if reported.Message != nil {
		p.Message = *reported.Message
	}
	if task.State == string(scheduler.Running) && task.StartedAt != nil && reported.At != nil && p.Current > 0 && p.Total > p.Current {
		spent := reported.At.Sub(*task.StartedAt)
		p.Left = time.Duration(float64(spent) / float64(p.Current) * float64(p.Total-p.Current))
	}
	return p
}
