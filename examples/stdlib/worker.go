package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// The two kinds of tasks.
const (
	kindSplit = "stdlib.split"
	kindCount = "stdlib.count"
)

const (
	slots     = 4             // tasks that a worker runs at once
	heartbeat = time.Second   // the default, 5 s, would make for a long demo
	ttl       = 3 * heartbeat // of silence, until a worker's tasks are given to others
)

// splitArgs is the payload of stdlib.split.
type splitArgs struct {
	Tree string `json:"tree"`
}

// splitResult is the result of stdlib.split.
type splitResult struct {
	Packages int `json:"packages"`
}

// countArgs is the payload of stdlib.count.
type countArgs struct {
	Tree    string `json:"tree"`
	Package string `json:"package"` // a directory below Tree
}

// counter holds what the handlers need.
type counter struct {
	client *scheduler.Client
	pool   *pgxpool.Pool // of the program's own, for its own tables
}

// runWorker is a worker process. It ends when ctx does, or when its standard input does: then its parent is gone.
func runWorker(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("stdlib worker", flag.ContinueOnError)
	name := flags.String("name", "", "name of the worker")
	if err := flags.Parse(args); err != nil {
		return err
	}
	err := work(ctx, *name, os.Getenv("SCHEDULER_DATABASE_URL"))
	if ctx.Err() != nil {
		return nil // asked to end, if need be before it began
	}
	return err
}

func work(ctx context.Context, name, url string) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	client, err := scheduler.Open(ctx, scheduler.Config{DatabaseURL: url, Logger: logger})
	if err != nil {
		return err
	}
	defer client.Close()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()

	c := &counter{client: client, pool: pool}
	registry := worker.NewRegistry()
	worker.Handle(registry, kindSplit, c.split)
	worker.Handle(registry, kindCount, c.count)
	w, err := worker.New(client, registry, worker.Config{Name: name, Concurrency: slots, Heartbeat: heartbeat, TTL: ttl,
		DrainTimeout: 5 * time.Second, Logger: logger})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return w.Run(ctx)
}

// split finds the packages and submits a task for each. The new tasks and the completion of this one commit together: a
// worker that dies here leaves either everything or nothing behind.
func (c *counter) split(ctx context.Context, task *worker.Task[splitArgs]) (*splitResult, error) {
	packages, err := findPackages(task.Args.Tree)
	if err != nil {
		return nil, err
	}
	tasks := make([]scheduler.NewTask, len(packages))
	for i, name := range packages {
		tasks[i] = scheduler.NewTask{Kind: kindCount, Queue: task.Queue, Payload: countArgs{Tree: task.Args.Tree, Package: name}}
	}
	return nil, pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		if _, err := c.client.SubmitManyTx(ctx, tx, tasks); err != nil {
			return err
		}
		return task.CompleteTx(ctx, tx, splitResult{Packages: len(packages)})
	})
}

// count counts one package. The row in the demo's own table and the completion of the task commit together.
func (c *counter) count(ctx context.Context, task *worker.Task[countArgs]) (*Counts, error) {
	files, err := goFiles(filepath.Join(task.Args.Tree, task.Args.Package))
	if err != nil {
		return nil, err
	}
	var counts Counts
	for i, path := range files {
		if err := task.Report(int64(i), int64(len(files)), filepath.Base(path)); err != nil {
			return nil, err // cancelled, or the lease is lost: stop
		}
		in, err := countFile(path)
		if err != nil {
			return nil, worker.Permanent(err) // it will not parse the next time either
		}
		counts.add(in)
	}
	if err := task.Report(int64(len(files)), int64(len(files)), "counted"); err != nil {
		return nil, err
	}
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insertCounts, task.ID, task.Args.Package, counts.Files, counts.Lines, counts.Functions, counts.Exported); err != nil {
			return err
		}
		return task.CompleteTx(ctx, tx, counts)
	})
	if errors.Is(err, scheduler.ErrLeaseLost) {
		return nil, fmt.Errorf("rolled back: %w", err) // another worker has the task by now, and will count
	}
	return nil, err
}
