package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	lookEvery  = 100 * time.Millisecond
	stallLimit = 60 * time.Second // without a task completed
)

// progress is how the count tasks stand.
type progress struct {
	Tasks     int
	Completed int
	GivenUp   int
}

func (p progress) done() bool { return p.Tasks > 0 && p.Completed == p.Tasks }

// running is what one worker runs.
type running struct {
	Worker   string
	PID      int
	Packages []string
	Current  int // files of the first package
	Total    int
}

// rescued is a lost attempt, and the one that followed it.
type rescued struct {
	ID          [16]byte
	Package     string
	LostWorker  string
	LostAttempt int
	Worker      string
	Attempt     int
	After       float64 // seconds from the kill to the start
}

// watch follows the tasks to their end, from the tables alone. Halfway it kills a worker.
func (d *demo) watch(ctx context.Context) error {
	var victim *casualty
	began, last, lastAt := time.Now(), progress{}, time.Now()
	for {
		now, err := one[progress](ctx, d.conn, readProgress, kindCount)
		if err != nil {
			return err
		}
		if last.Tasks == 0 && now.Tasks > 0 {
			d.screen.say("split: one transaction submitted %s tasks and completed their parent", number(now.Tasks))
			d.screen.say("")
		}
		if now != last {
			last, lastAt = now, time.Now()
		}
		if now.GivenUp > 0 {
			return d.givenUp(ctx)
		}
		busy, err := all[running](ctx, d.conn, readRunning, kindCount)
		if err != nil {
			return err
		}
		switch {
		case victim == nil && !now.done() && now.Tasks > 0 && 2*now.Completed >= now.Tasks:
			victim, err = d.kill(ctx, busy)
		case victim != nil:
			err = d.showRescued(ctx, victim)
		}
		if err != nil {
			return err
		}
		if now.done() {
			return d.watched(now, victim, time.Since(began))
		}
		d.screen.progress(now.Completed, now.Tasks, doing(busy, victim))
		if time.Since(lastAt) > stallLimit {
			return d.stuck(ctx)
		}
		if err := d.pause(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// watched ends the watch.
func (d *demo) watched(now progress, victim *casualty, took time.Duration) error {
	d.screen.progress(now.Completed, now.Tasks, "")
	d.screen.keep()
	switch {
	case victim == nil:
		return errors.New("all packages were counted before a worker could be killed: the tree is too small for this demo")
	case len(victim.held) > 0 && len(victim.rescued) == 0:
		return fmt.Errorf("%s was killed, but no task of it started again", victim.worker.name)
	}
	d.screen.say("")
	d.screen.say("all counted in %s", seconds(took))
	return nil
}

// doing says in a few words what the workers do.
func doing(busy []running, victim *casualty) string {
	var words []string
	for _, b := range busy {
		if victim != nil && b.PID == victim.worker.pid() {
			words = append(words, fmt.Sprintf("%s dead, %d tasks wait", b.Worker, len(b.Packages)))
			continue
		}
		word := b.Worker + " " + short(b.Packages[0])
		if b.Total > 0 {
			word += fmt.Sprintf(" %d/%d", b.Current, b.Total)
		}
		words = append(words, word)
	}
	return strings.Join(words, "   ")
}

// short is the end of a package's name, its last two elements if that is not long.
func short(name string) string {
	dir, base := path.Split(name)
	if long := path.Join(path.Base(dir), base); dir != "" && len(long) <= 18 {
		return long
	}
	return base
}

// casualty is the worker that was killed.
type casualty struct {
	worker  *process
	at      time.Time // of the database
	held    []string  // packages that it was counting
	width   int       // of their longest name
	rescued map[[16]byte]bool
}

// kill ends the worker that runs most tasks with SIGKILL: it can't finish, hand back or say anything. nil: none runs any.
func (d *demo) kill(ctx context.Context, busy []running) (*casualty, error) {
	var most running
	for _, b := range busy {
		if len(b.Packages) > len(most.Packages) {
			most = b
		}
	}
	c := &casualty{rescued: map[[16]byte]bool{}}
	for _, w := range d.workers {
		if w.pid() == most.PID {
			c.worker = w
		}
	}
	if c.worker == nil {
		return nil, nil
	}
	c.worker.kill()
	if err := d.conn.QueryRow(ctx, `select clock_timestamp()`).Scan(&c.at); err != nil {
		return nil, err
	}
	left, err := all[running](ctx, d.conn, readRunning, kindCount)
	for _, b := range left {
		if b.PID == most.PID {
			c.held = b.Packages
		}
	}
	d.screen.say("")
	d.screen.say("kill -9 %d: worker %s dies in the middle of %d tasks", most.PID, most.Worker, len(c.held))
	for _, name := range c.held {
		d.screen.say("  %s", name)
		c.width = max(c.width, len(name))
	}
	d.screen.say("Nobody is told. Once it has been silent for %s, whoever notices first gives its tasks back.", seconds(ttl))
	d.screen.say("")
	return c, err
}

// showRescued tells which lost tasks have started again since it was called last.
func (d *demo) showRescued(ctx context.Context, c *casualty) error {
	list, err := all[rescued](ctx, d.conn, readRescued, c.at)
	for _, r := range list {
		if !c.rescued[r.ID] {
			c.rescued[r.ID] = true
			d.screen.say("  %-*s  attempt %d on %s was lost; attempt %d started on %s %s after the kill", c.width, r.Package, r.LostAttempt,
				r.LostWorker, r.Attempt, r.Worker, seconds(time.Duration(r.After*float64(time.Second))))
		}
	}
	return err
}

// givenUp is the error when a task failed.
func (d *demo) givenUp(ctx context.Context) error {
	var id, state, why string
	if err := d.conn.QueryRow(ctx, readGivenUp).Scan(&id, &state, &why); err != nil {
		return err
	}
	return fmt.Errorf("task %s is %s: %s", id, state, why)
}

// stuck is the error when nothing moves any more.
func (d *demo) stuck(ctx context.Context) error {
	var id, why string
	if err := d.conn.QueryRow(ctx, readStuck).Scan(&id, &why); err != nil {
		return fmt.Errorf("no task was completed for %s: %w", stallLimit, err)
	}
	return fmt.Errorf("no task was completed for %s; task %s: %s", stallLimit, id, why)
}

func one[T any](ctx context.Context, conn *pgx.Conn, query string, args ...any) (T, error) {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		var zero T
		return zero, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
}

func all[T any](ctx context.Context, conn *pgx.Conn, query string, args ...any) ([]T, error) {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}
