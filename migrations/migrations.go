// Package migrations shapes the database: the SQL files beside it, embedded and run by goose.
//
//	Up ──► 00001_tasks ──► 00002_workers ──► 00003_schedules ──► 00004_functions ──► 00005_views
//	Down ◄────────────────────────────────────────────────────────────────────────┘
//
// Invariants: everything lives in schema "scheduler", goose's version table included; an advisory session lock is held from
// before the version table is read until the last file is done, so any number of processes may call Up at once; running Up
// twice changes nothing. Applied files never change; a mistake is mended by a new file.
//
//	applied, err := migrations.Up(ctx, "postgres://localhost/app")
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Files holds the migrations, named NNNNN_noun.sql.
//
//go:embed *.sql
var Files embed.FS

// Applied is one migration that Up or Down ran.
type Applied struct {
	Version  int64
	Name     string // file name
	Duration time.Duration
}

// State is one line of Status.
type State struct {
	Version   int64
	Name      string    // file name
	AppliedAt time.Time // zero: pending
}

// lockID names the advisory lock; any number no one else uses.
const lockID = 0x7363686564756c65 // "schedule"

// Up applies all pending migrations and returns those it ran, none when the schema is current. Safe to call from several
// processes at once: the others wait up to five minutes, then find nothing left to do.
func Up(ctx context.Context, databaseURL string) ([]Applied, error) {
	return run(ctx, databaseURL, func(p *goose.Provider) ([]*goose.MigrationResult, error) { return p.Up(ctx) })
}

// Down undoes migrations, newest first, until the schema is at version to; 0 undoes all of them and with them every task.
func Down(ctx context.Context, databaseURL string, to int64) ([]Applied, error) {
	return run(ctx, databaseURL, func(p *goose.Provider) ([]*goose.MigrationResult, error) { return p.DownTo(ctx, to) })
}

// Status lists every migration of this binary in order. It changes nothing, not even on a database without the schema.
func Status(ctx context.Context, databaseURL string) ([]State, error) {
	db, provider, err := open(databaseURL)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var exists bool
	if err := db.QueryRowContext(ctx, `select to_regclass('scheduler.goose_db_version') is not null`).Scan(&exists); err != nil {
		return nil, fmt.Errorf("read migration status: %w", err)
	}
	var states []State
	if !exists {
		for _, s := range provider.ListSources() {
			states = append(states, State{Version: s.Version, Name: s.Path})
		}
		return states, nil
	}
	status, err := provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read migration status: %w", err)
	}
	for _, s := range status {
		states = append(states, State{Version: s.Source.Version, Name: s.Source.Path, AppliedAt: s.AppliedAt})
	}
	return states, nil
}

// Latest returns the version that Up leads to.
func Latest() (int64, error) {
	db, provider, err := open("")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	sources := provider.ListSources()
	return sources[len(sources)-1].Version, nil
}

func run(ctx context.Context, databaseURL string, do func(*goose.Provider) ([]*goose.MigrationResult, error)) ([]Applied, error) {
	db, provider, err := open(databaseURL)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := createSchema(ctx, db); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	results, err := do(provider)
	var partial *goose.PartialError
	if errors.As(err, &partial) {
		results = partial.Applied
	}
	var applied []Applied
	for _, r := range results {
		applied = append(applied, Applied{Version: r.Source.Version, Name: r.Source.Path, Duration: r.Duration})
	}
	if err != nil {
		return applied, fmt.Errorf("migrate: %w", err)
	}
	return applied, nil
}

func open(databaseURL string) (*sql.DB, *goose.Provider, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, nil, fmt.Errorf("migrate: %w", err)
	}
	locker, err := newLocker()
	if err != nil {
		return nil, nil, fmt.Errorf("migrate: %w", err)
	}
	db := stdlib.OpenDB(*config)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, Files,
		goose.WithTableName("scheduler.goose_db_version"),
		goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		db.Close()
		return nil, nil, fmt.Errorf("migrate: %w", err)
	}
	return db, provider, nil
}

func newLocker() (lock.SessionLocker, error) {
	return lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 60))
}

// createSchema makes the schema before goose looks for its version table there. Only one of several callers at a time:
// "if not exists" alone does not survive a race.
func createSchema(ctx context.Context, db *sql.DB) error {
	locker, err := newLocker()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := locker.SessionLock(ctx, conn); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, `create schema if not exists scheduler`)
	return errors.Join(err, locker.SessionUnlock(context.WithoutCancel(ctx), conn))
}
