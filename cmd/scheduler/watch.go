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

const (
	lookEvery = 200 * time.Millisecond // at what can't be reached, until it can
	lineEvery = time.Second            // between two lines about a task, unless its state changes
)

// await waits for a task that was just submitted, shows its progress meanwhile if that was asked for, and prints its
// result.
func (a *app) await(ctx context.Context, d door.Door, id string, f submitFlags) (err error) {
	var task httpapi.Task
	if f.watch && !a.screen.JSON {
		task, err = a.follow(ctx, d, id, a.lineOf(a.screen.Hintf))
	} else {
		task, err = patient(ctx, func() (httpapi.Task, error) { return d.Await(ctx, id) })
	}
	if ctx.Err() != nil && !task.Done { // also when a call was cut off by it
		return a.notDone(ctx, id, task, f.wait)
	}
	if err != nil {
		return doing(err, "wait for task %s", id)
	}
	if a.screen.JSON {
		err = a.screen.PrintJSON(task)
	} else if task.State == string(scheduler.Completed) {
		err = a.screen.PrintJSON(task.Result)
	}
	return errors.Join(err, ended(task))
}

// notDone is how waiting ends when the task has not: out of time, or stopped by a signal.
func (a *app) notDone(ctx context.Context, id string, task httpapi.Task, limit time.Duration) error {
	if a.screen.JSON && task.ID != "" {
		if err := a.screen.PrintJSON(task); err != nil {
			return err
		}
	}
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
// say, when its state changes or a second after the last time. It returns the task as last read, with a nil error when ctx
// has ended.
func (a *app) follow(ctx context.Context, d door.Door, id string, say func(httpapi.Task)) (task httpapi.Task, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	news := make(chan followed)
	go func() { // ends with ctx, or with the task
		defer close(news)
		for event, err := range d.Follow(ctx, id, door.From{}) {
			select {
			case news <- followed{event, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	show, end := a.shower(say)
	defer end()
	again := time.NewTimer(0) // to say what came too soon after the last time
	defer again.Stop()
	for {
		select {
		case next, ok := <-news:
			switch {
			case !ok:
				return task, nil
			case next.err != nil:
				return task, next.err
			case next.event.Task == nil:
				continue
			}
			task = *next.event.Task
		case <-again.C:
		}
		if task.ID == "" {
			continue
		}
		if wait := show(task); wait > 0 {
			again.Reset(wait)
		}
		if task.Done {
			return task, nil
		}
	}
}

// followed is what Follow gave.
type followed struct {
	event door.Event
	err   error
}

// shower returns what shows a task, as a bar or by say. It returns how long to wait before it is called again with the same, when it
// is too soon for another line; 0: it is shown.
func (a *app) shower(say func(httpapi.Task)) (show func(httpapi.Task) time.Duration, end func()) {
	if a.screen.ErrColumns != nil && !a.screen.JSON {
		return func(task httpapi.Task) time.Duration { a.screen.Draw(progressOf(task)); return 0 }, a.screen.Wipe
	}
	var said httpapi.Task
	var saidAt time.Time
	return func(task httpapi.Task) time.Duration {
		early := lineEvery - time.Since(saidAt)
		switch {
		case task.Revision == said.Revision:
			return 0
		case task.State == said.State && early > 0:
			return early
		}
		say(task)
		said, saidAt = task, time.Now()
		return 0
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
