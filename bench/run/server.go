package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/privatepg"
)

// settings of the private PostgreSQL: all durable, with room for what is measured.
var settings = map[string]string{
	"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "1GB", "max_wal_size": "8GB",
	"checkpoint_timeout": "15min", "jit": "off", "max_connections": "200", "log_min_duration_statement": "-1",
}

// server is the PostgreSQL of all runs.
type server struct {
	private *privatepg.Server // nil: somebody else's
	admin   *pgx.Conn
	base    *url.URL
}

// startServer starts a private PostgreSQL, or connects to the one that BENCH_DATABASE_URL names.
func startServer(ctx context.Context) (s *server, err error) {
	s = &server{}
	text := os.Getenv("BENCH_DATABASE_URL")
	if text == "" {
		fmt.Fprintln(os.Stderr, "starting PostgreSQL")
		if s.private, err = privatepg.Start(ctx, privatepg.Config{Settings: settings, Log: os.Stderr}); err != nil {
			return nil, err
		}
		text = s.private.URL("postgres")
	}
	if s.base, err = url.Parse(text); err != nil || !strings.HasPrefix(s.base.Scheme, "postgres") {
		return nil, errors.Join(errors.New("BENCH_DATABASE_URL is not a postgres:// URL"), s.stop(ctx))
	}
	if s.admin, err = pgx.Connect(ctx, text); err != nil {
		return nil, errors.Join(err, s.stop(ctx))
	}
	return s, nil
}

func (s *server) stop(ctx context.Context) (err error) {
	if s.admin != nil {
		err = s.admin.Close(ctx)
	}
	if s.private != nil {
		err = errors.Join(err, s.private.Stop())
	}
	return err
}

// database makes a fresh database and returns its URL, and how to drop it.
func (s *server) database(ctx context.Context, name string) (string, func(), error) {
	quoted := pgx.Identifier{name}.Sanitize()
	drop := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if _, err := s.admin.Exec(ctx, "drop database if exists "+quoted+" with (force)"); err != nil {
			fmt.Fprintf(os.Stderr, "database %s stays: %v\n", name, err)
		}
	}
	drop() // of a run that was killed
	if _, err := s.admin.Exec(ctx, "create database "+quoted); err != nil {
		return "", nil, err
	}
	own := *s.base
	own.Path, own.RawPath = "/"+name, ""
	return own.String(), drop, nil
}

// settle writes out what the run before has left, so that it does not burden the next. On somebody else's server it does
// nothing: that takes a right that one may not have.
func (s *server) settle(ctx context.Context) error {
	if s.private == nil {
		return nil
	}
	_, err := s.admin.Exec(ctx, "checkpoint")
	return err
}

// show reads the settings that matter.
func (s *server) show(ctx context.Context) (map[string]string, error) {
	rows, err := s.admin.Query(ctx, `select name, current_setting(name) from pg_settings
		where name = any ($1) or name in ('server_version', 'wal_level', 'autovacuum', 'effective_io_concurrency', 'wal_compression')`, slices.Collect(maps.Keys(settings)))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error { found[name] = value; return nil })
	return found, err
}
