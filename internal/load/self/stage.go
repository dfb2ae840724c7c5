package self

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/migrations"
	"github.com/pgscheduler/scheduler/scheduler"
)

// Errors of Enter.
var (
	// ErrHasTasks: the database is in use. Take another, or set Config.Among.
	ErrHasTasks = errors.New("the database has tasks")
	// ErrBusy: another stage is on this database. Wait for its end.
	ErrBusy = errors.New("another benchmark runs on this database")
)

// Config of a Stage.
type Config struct {
	DatabaseURL string // "": from the environment

	// Among allows a database with tasks. They stay as they are, and make the figures worse.
	Among bool

	// Child returns a command that calls Child with its standard input and output, for scale, memory and live; nil: those fail.
	Child func(ctx context.Context) *exec.Cmd

	// HTTP serves a client by HTTP until stop is called, and returns how to submit through that; for submit-http; nil: it fails.
	HTTP func(ctx context.Context, client *scheduler.Client) (submit SubmitFunc, stop func(), err error)

	Progress func(load.Progress) // nil: nobody looks
	Logger   *slog.Logger        // nil: slog.Default()
}

// SubmitFunc stores one task, durably.
type SubmitFunc func(ctx context.Context, task scheduler.NewTask) error

// Stage is a database made ready for load. Not safe for concurrent use.
type Stage struct {
	config Config
	queue  scheduler.Queue
	conn   *pgx.Conn // holds the lock
	made   bool      // the schema is ours
}

// leaving bounds what is done when everything else has ended.
const leaving = 5 * time.Minute

// Enter makes a database ready: it makes the schema when there is none, and otherwise uses the one there is. Errors:
// ErrHasTasks, ErrBusy, *scheduler.SchemaError, and the database's.
func Enter(ctx context.Context, config Config) (*Stage, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	random := make([]byte, 4)
	rand.Read(random) // never fails
	s := &Stage{config: config, queue: scheduler.Queue("scheduler-bench-" + hex.EncodeToString(random))}
	var err error
	if s.conn, err = pgx.Connect(ctx, config.DatabaseURL); err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
		defer cancel()
		if s.made {
			err = errors.Join(err, s.drop(bye))
		}
		return nil, errors.Join(err, s.conn.Close(bye))
	}
	return s, nil
}

// lock makes this the only stage on the database. The server may take a moment to notice that the one before has gone.
func (s *Stage) lock(ctx context.Context) error {
	for until := time.Now().Add(2 * time.Second); ; {
		var locked bool
		if err := s.conn.QueryRow(ctx, sqlLock).Scan(&locked); err != nil || locked {
			return err
		}
		if time.Now().After(until) {
			return ErrBusy
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Stage) enter(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	found, err := s.schema(ctx)
	if err != nil {
		return err
	}
	if !found.isThere || found.marked {
		return s.make(ctx)
	}
	client, err := s.open(ctx) // checks the schema
	if err != nil {
		return err
	}
	client.Close()
	var has bool
	switch err := s.conn.QueryRow(ctx, sqlForeign).Scan(&has); {
	case err != nil:
		return err
	case has && !s.config.Among:
		return ErrHasTasks
	}
	return s.clear(ctx) // what one that was killed has left
}

// Fresh reports whether each workload begins with a schema that was made for it.
func (s *Stage) Fresh() bool { return s.made }

// Reset forgets the tasks so far, so that the next workload finds the database as the first did: empty and never analyzed
// when the schema is the stage's own, else swept and vacuumed.
func (s *Stage) Reset(ctx context.Context) error {
	if s.made {
		return s.make(ctx)
	}
	return s.clear(ctx)
}

// Leave removes what the stage has made and ends its connection. A second one does nothing.
func (s *Stage) Leave(ctx context.Context) error {
	if s.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, leaving)
	defer cancel()
	var err error
	if s.made {
		err = s.drop(ctx)
	} else {
		err = s.clear(ctx)
	}
	err = errors.Join(err, s.conn.Close(ctx))
	s.conn = nil
	return err
}

type schema struct{ isThere, marked, filled bool }

func (s *Stage) schema(ctx context.Context) (found schema, err error) {
	err = s.conn.QueryRow(ctx, sqlSchema).Scan(&found.isThere, &found.marked, &found.filled)
	return found, err
}

// make makes the schema anew.
func (s *Stage) make(ctx context.Context) error {
	s.made = true
	if err := s.drop(ctx); err != nil {
		return err
	}
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return err
	}
	for _, statement := range []string{sqlMake, sqlMark} { // marked from its first moment
		if _, err := tx.Exec(ctx, statement); err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	_, err = migrations.Up(ctx, s.config.DatabaseURL)
	return err
}

// drop takes the schema out, unless somebody else has begun to use it.
func (s *Stage) drop(ctx context.Context) error {
	found, err := s.schema(ctx)
	if err != nil || !found.isThere {
		return err
	}
	visited := false
	if found.filled {
		if err := s.conn.QueryRow(ctx, sqlVisitors).Scan(&visited); err != nil {
			return err
		}
	}
	if visited || !found.marked {
		s.made = false
		return fmt.Errorf("schema scheduler was made by the benchmark and stays: %w by now", ErrHasTasks)
	}
	_, err = s.conn.Exec(ctx, sqlDrop)
	return err
}

// clear removes benchmarks' tasks from a schema that is not their own.
func (s *Stage) clear(ctx context.Context) error {
	if _, err := s.conn.Exec(ctx, sqlClear); err != nil {
		return err
	}
	_, err := s.conn.Exec(ctx, sqlVacuum)
	return err
}
