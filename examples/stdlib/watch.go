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
	lookEvery  = 50 * time.Millisecond
	stallLimit = 60 * time.Second // without a task completed
)

// progress is how the count tasks stand.
type progress struct {
	Tasks     int
	Completed int
	GivenUp   int // of any kind
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
			d.screen.say("split: one transaction submitted %s and completed their parent", plural(now.Tasks, "task"))
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
			victim, err = d.kill(ctx, busy, now)
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
	case len(victim.rescued) < len(victim.held):
		return fmt.Errorf("%s was killed in the middle of %d tasks, but %d started again", victim.worker.name, len(victim.held), len(victim.rescued))
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
			words = append(words, fmt.Sprintf("%s dead, %s left", b.Worker, plural(len(victim.held), "task")))
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
