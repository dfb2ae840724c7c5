package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// options are the flags.
type options struct {
	tree   string // "": the standard library
	binary string // of scheduler; "": it is built
}

// errInterrupted: Ctrl-C or SIGTERM, and everything was stopped and removed.
var errInterrupted = errors.New("interrupted: workers, API and PostgreSQL are stopped, their files removed")

// startLimit bounds each wait for a child that starts.
const startLimit = 60 * time.Second

// demo is one run.
type demo struct {
	options
	screen   *screen
	found    map[string]size
	dir      string // temporary, for the binary; "": it is kept, or was given
	version  string // of Go
	database string // its URL
	api      string // its URL
	dev      *process
	workers  []*process
	conn     *pgx.Conn
}

// tell runs the demo from its first line to its last, and leaves no process and no file behind.
func tell(ctx context.Context, o options, s *screen) error {
	d := &demo{options: o, screen: s}
	err := d.run(ctx)
	s.clear()
	ended := d.end(err == nil)
	var unheard *outputError
	switch {
	case ended != nil || ctx.Err() == nil:
	case errors.As(context.Cause(ctx), &unheard):
		return unheard
	default:
		return errInterrupted
	}
	return errors.Join(err, ended)
}

func (d *demo) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		d.measure, d.build, d.startDev, d.createTables, d.startWorkers, d.submit, d.watch, d.totals, d.verdict,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// measure finds the tree, and what is in it without the scheduler's help, for the comparison in the end.
func (d *demo) measure(ctx context.Context) (err error) {
	if d.version, err = output(ctx, "go", "env", "GOVERSION"); err != nil {
		return err
	}
	if d.tree == "" {
		root, err := output(ctx, "go", "env", "GOROOT")
		if err != nil {
			return err
		}
		d.tree = filepath.Join(root, "src")
	}
	if d.tree, err = filepath.Abs(d.tree); err != nil {
		return err
	}
	d.screen.say("scheduler demo: count the Go files of %s", d.tree)
	d.screen.say("")
	d.screen.wait("walking the tree")
	if d.found, err = survey(d.tree); err != nil {
		return err
	}
	if len(d.found) == 0 {
		return fmt.Errorf("there are no Go files below %s", d.tree)
	}
	files := 0
	for _, size := range d.found {
		files += size.files
	}
	d.screen.field("input", "%s, %s of %s", plural(len(d.found), "package"), plural(files, "file"), d.version)
	return nil
}

// build compiles the scheduler's own program.
func (d *demo) build(ctx context.Context) (err error) {
	if d.binary != "" {
		return nil
	}
	began := time.Now()
	d.screen.wait("building scheduler")
	if d.binary, err = d.place(ctx); err != nil {
		return err
	}
	if _, err := output(ctx, "go", "build", "-o", d.binary, "github.com/pgscheduler/scheduler/cmd/scheduler"); err != nil {
		return fmt.Errorf("build the scheduler (run this inside its repository): %w", err)
	}
	d.screen.field("build", "scheduler, in %s", seconds(time.Since(began)))
	return nil
}

// place returns where the binary goes: always the same file below the module, so that demos that are killed don't pile them
// up and the next build is quick; into a temporary directory when the module can't be written.
func (d *demo) place(ctx context.Context) (string, error) {
	module, err := output(ctx, "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	if filepath.Base(module) == "go.mod" { // else it is none, which the build says better
		kept := filepath.Join(filepath.Dir(module), ".demo")
		if err := os.MkdirAll(kept, 0o755); err == nil {
			if probe, err := os.CreateTemp(kept, "probe-"); err == nil {
				return filepath.Join(kept, "scheduler"), errors.Join(probe.Close(), os.Remove(probe.Name()))
			}
		}
	}
	d.dir, err = os.MkdirTemp("", "scheduler-demo-")
	return filepath.Join(d.dir, "scheduler"), err
}

// startDev starts the private PostgreSQL and the API.
func (d *demo) startDev(ctx context.Context) error {
	began := time.Now()
	d.screen.wait("starting a private PostgreSQL")
	stdout := &lineWriter{line: make(chan string, 1)}
	cmd := exec.Command(d.binary, "dev", "--ephemeral", "--no-worker", "-o", "json", "--listen", "127.0.0.1:0")
	cmd.Env = environ()
	dev, err := start("scheduler dev", cmd, stdout)
	if err != nil {
		return err
	}
	d.dev = dev
	var ready struct {
		DatabaseURL string `json:"database_url"`
		APIURL      string `json:"api_url"`
	}
	select {
	case text := <-stdout.line:
		if err := json.Unmarshal([]byte(text), &ready); err != nil || ready.DatabaseURL == "" || ready.APIURL == "" {
			return fmt.Errorf("scheduler dev said %q, not where its database and API are", text)
		}
	case <-dev.ended:
		return dev.death()
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(startLimit):
		return dev.trouble("is not ready after %s", startLimit)
	}
	d.database, d.api = ready.DatabaseURL, strings.TrimSuffix(ready.APIURL, "/")
	if d.conn, err = pgx.Connect(ctx, d.database); err != nil {
		return err
	}
	d.screen.field("postgres", "private, migrated, ready after %s; look inside while this runs:", seconds(time.Since(began)))
	d.screen.field("", "psql '%s'", d.database)
	d.screen.field("api", "%s", d.api)
	return nil
}

// createTables makes the demo's own tables, and writes into one what the walk over the tree found.
func (d *demo) createTables(ctx context.Context) error {
	if _, err := d.conn.Exec(ctx, createTables); err != nil {
		return fmt.Errorf("create the demo's tables: %w", err)
	}
	var rows [][]any
	for name, size := range d.found {
		rows = append(rows, []any{name, size.files, size.lines})
	}
	_, err := d.conn.CopyFrom(ctx, pgx.Identifier{"stdlib", "found"}, []string{"package", "files", "lines"}, pgx.CopyFromRows(rows))
	return err
}

// startWorkers starts two processes that run tasks.
func (d *demo) startWorkers(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for _, name := range []string{"w1", "w2"} {
		cmd := exec.Command(self, "worker", "-name", name)
		cmd.Env = environ("SCHEDULER_DATABASE_URL="+d.database, "PGAPPNAME="+applicationName(name))
		w, err := start("worker "+name, cmd, nil)
		if err != nil {
			return err
		}
		d.workers = append(d.workers, w)
	}
	deadline := time.Now().Add(startLimit)
	for _, w := range d.workers {
		for registered := false; !registered; {
			if err := d.pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
			if err := d.conn.QueryRow(ctx, readRegistered, w.pid()).Scan(&registered); err != nil {
				return err
			}
			if time.Now().After(deadline) {
				return w.trouble("has not registered within %s", startLimit)
			}
		}
	}
	d.screen.field("workers", "w1 (pid %d) and w2 (pid %d), each runs %d tasks at once", d.workers[0].pid(), d.workers[1].pid(), slots)
	return nil
}

// applicationName is how the connections of a worker are told apart.
func applicationName(worker string) string { return "stdlib " + worker }

// pause waits, and returns early with an error when the demo can't go on.
func (d *demo) pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	w1, w2 := d.workers[0], d.workers[1]
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.dev.ended:
		return d.dev.death()
	case <-w1.unexpected():
		return w1.death()
	case <-w2.unexpected():
		return w2.death()
	}
}

// end stops what runs, workers first, and removes the temporary directory. strict: what runs must end well; what is cut off
// while it starts may say so.
func (d *demo) end(strict bool) error {
	var errs []error
	if d.conn != nil {
		closing, cancel := context.WithTimeout(context.Background(), time.Second) // the run's context may have ended
		_ = d.conn.Close(closing)                                                 // its server stops next
		cancel()
	}
	for _, w := range d.workers {
		if !w.hasEnded() {
			errs = append(errs, w.stop(strict))
		}
	}
	if d.dev != nil && !d.dev.hasEnded() {
		errs = append(errs, d.dev.stop(strict))
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}
