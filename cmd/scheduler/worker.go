package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
	"github.com/pgscheduler/scheduler/worker/push"
)

// workerFlags are what a worker is told on the command line; dev takes some of them too.
type workerFlags struct {
	queues      []string
	concurrency int
	exec        []string
	commands    commandFlags
	demo        bool
	heartbeat   time.Duration
	leaseTTL    time.Duration
	poll        time.Duration
	pollOnly    bool
	drain       time.Duration
	name        string
	metrics     metricsPort
	push        pushFlags
}

// handlerFlags declares those that say what is run.
func (f *workerFlags) handlerFlags(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.queues, "queue", []string{"default"}, "take from these queues: `name[:weight],...`; a queue of weight 2 gets twice the slots while all are busy")
	flags.IntVar(&f.concurrency, "concurrency", 10, "run up to `N` tasks at once, those of --cmd not counted")
	flags.StringArrayVar(&f.exec, "exec", nil, "run tasks of a kind by a command, `kind='command args...'`; repeatable; quotes work, but there is no shell")
	f.commands.declare(flags)
}

func (a *app) workerCommand() *cobra.Command {
	var f workerFlags
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run tasks",
		Long: `Run tasks: lease them, run their commands, keep the leases alive, write how it went.

With --cmd, long-lived processes serve them: each says on file descriptor 3 which kinds it serves, is given one task after
the other as JSON lines on stdin, and answers on descriptor 3. One that ends or hangs fails its task and is started again.
With --exec, each task has a process of its own: it gets the payload on stdin and may write JSON lines with progress, log and
result on descriptor 3. Exit 0 completes the task; 64, 65, 66 and 78 fail it for good; 75 and all others are retried.
Lines on stdout and stderr become the task's log.

With --push it delivers tasks to HTTP endpoints besides, or alone: all that scheduler endpoints list shows, together with
whichever other processes do so. To private, loopback and link-local addresses it connects only if --push-allow names them.

The first SIGTERM or SIGINT drains: nothing more is taken, running tasks may finish within --drain-timeout, the rest is
handed back, exit 0. The second ends the tasks at once and hands them back, exit 1. The third ends the process.`,
		Example: `  scheduler worker --cmd 'php worker.php' --procs 4 --max-memory 256M
  scheduler worker --exec mail.send='php send-mail.php --really'
  scheduler worker --queue mail:2,default:1 --concurrency 20 --exec mail.send='php send.php' --exec report='./report "a b"'
  scheduler worker --push --push-allow localhost
  scheduler worker --demo`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runWorker(cmd, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.handlerFlags(flags)
	flags.BoolVar(&f.demo, "demo", false, `also run the kinds demo.sleep ({"seconds":20,"fail":false}) and demo.echo`)
	flags.DurationVar(&f.heartbeat, "heartbeat", 5*time.Second, "renew the leases this often")
	flags.DurationVar(&f.leaseTTL, "lease-ttl", 0, "after so long without a heartbeat others may take the tasks; at least 3 heartbeats (default 3 heartbeats)")
	flags.DurationVar(&f.poll, "poll", time.Second, "look for tasks this often while announcements are not heard")
	flags.BoolVar(&f.pollOnly, "poll-only", false, "never LISTEN, for a database behind a pooler that cannot")
	flags.DurationVar(&f.drain, "drain-timeout", 30*time.Second, "let running tasks finish for so long at shutdown; 0: not at all")
	flags.StringVar(&f.name, "name", "", "`name` shown to people (default host:pid)")
	f.push.flags(flags)
	f.metrics.flag(flags, "serve /metrics at this `address`, without a token (default not at all)")
	return cmd
}

func (a *app) runWorker(cmd *cobra.Command, f workerFlags) error {
	registry, err := f.registry(cmd.CommandPath())
	if err != nil {
		return err
	}
	if len(registry.Kinds()) == 0 && len(f.commands.lines) == 0 && !f.push.on {
		return usage(cmd.CommandPath(), "there is nothing to run", "none of --cmd, --exec, --demo and --push is given")
	}
	config, err := f.config(cmd.CommandPath())
	if err != nil {
		return err
	}
	config.Logger = a.global.logger
	client, err := a.open(cmd.Context(), cmd, scheduler.Config{PollOnly: f.pollOnly, Poll: f.poll})
	if err != nil {
		return err
	}
	defer client.Close()
	pusher, err := f.push.pusher(cmd.CommandPath(), client, f, a)
	if err != nil {
		return err
	}
	stop, err := f.commands.start(cmd, registry, a.global.logger)
	if err != nil {
		return err
	}
	defer stop()
	var w *worker.Worker
	if len(registry.Kinds()) > 0 || len(f.commands.lines) > 0 {
		if w, err = worker.New(client, registry, config); err != nil {
			return usage(cmd.CommandPath(), "bad flags", "%s", flagNames.Replace(err.Error()))
		}
	}
	if err := f.metrics.open(); err != nil {
		return err
	}
	observed, end := context.WithCancel(context.WithoutCancel(cmd.Context())) // longer than the worker drains
	var serving sync.WaitGroup
	serving.Go(func() { // ends with observed
		if err := f.metrics.serve(observed, a.metrics(client, w, pusher), a.global.logger); err != nil {
			a.global.logger.LogAttrs(observed, slog.LevelError, "serve metrics", slog.Any("err", err))
		}
	})
	defer serving.Wait()
	defer end()
	return a.work(cmd.Context(), client, w, pusher)
}

// work runs a worker, or deliveries, or both, until they have drained.
func (a *app) work(ctx context.Context, client *scheduler.Client, w *worker.Worker, pusher *push.Pusher) error {
	switch {
	case pusher == nil:
		return a.drain(ctx, "the worker", w.Abort, w.Run)
	case w == nil:
		return a.pushOnly(ctx, client, pusher)
	}
	abort := func() { w.Abort(); pusher.Abort() }
	return a.drain(ctx, "the worker", abort, func(ctx context.Context) error {
		g, life := errgroup.WithContext(ctx)
		g.Go(func() error {
			if err := w.Run(life); err != nil {
				return err
			}
			return client.Maintain(life) // when the worker was told to stop
		})
		g.Go(func() error { return pusher.Run(life) })
		return g.Wait()
	})
}

// flagNames says what package worker refuses in the words of the command line.
var flagNames = strings.NewReplacer("worker: ", "", "Config.Queues", "--queue", "Config.Concurrency", "--concurrency", "Config.Heartbeat", "--heartbeat",
	"Config.TTL", "--lease-ttl", "Config.Poll", "--poll", "Config.DrainTimeout", "--drain-timeout", "Config.Name", "--name")

// drain runs what takes tasks until it has drained; the second signal cuts that short.
func (a *app) drain(ctx context.Context, what string, abort func(), run func(context.Context) error) error {
	a.draining.Store(true)
	ended := make(chan struct{})
	defer close(ended)
	go func() { // ends with run
		select {
		case <-a.again:
			abort()
		case <-ended:
		}
	}()
	err := run(ctx)
	if errors.Is(err, worker.ErrAborted) {
		return &problem{exitFailure, what + " did not drain", "a second signal ended it", "nothing: its tasks were handed back and run elsewhere"}
	}
	return doing(err, "run %s", what)
}

func (f workerFlags) config(path string) (worker.Config, error) {
	config := worker.Config{Concurrency: f.concurrency, Heartbeat: f.heartbeat, TTL: f.leaseTTL, Poll: f.poll, DrainTimeout: f.drain,
		Name: f.name, Version: version().Version}
	if f.drain == 0 {
		config.DrainTimeout = -1
	}
	if f.concurrency < 1 {
		return config, usage(path, fmt.Sprintf("bad --concurrency %d", f.concurrency), "it is 1 to 10000")
	}
	if f.poll < 10*time.Millisecond || f.poll > time.Minute {
		return config, usage(path, "bad --poll "+f.poll.String(), "it is 10ms to 1m")
	}
	for _, entry := range f.queues {
		name, weight, weighted := strings.Cut(entry, ":")
		share := worker.Share{Queue: scheduler.Queue(name), Weight: 1}
		if weighted {
			n, err := strconv.Atoi(weight)
			if err != nil || n < 1 || n > 1000 {
				return config, usage(path, fmt.Sprintf("bad --queue %q", entry), "the weight after the colon is 1 to 1000")
			}
			share.Weight = n
		}
		config.Queues = append(config.Queues, share)
	}
	return config, nil
}

// registry holds the handlers that the flags name.
func (f workerFlags) registry(path string) (*worker.Registry, error) {
	r := worker.NewRegistry()
	if f.demo {
		addDemo(r)
	}
	taken := map[string]bool{}
	for _, kind := range r.Kinds() {
		taken[kind] = true
	}
	for _, entry := range f.exec {
		kind, line, ok := strings.Cut(entry, "=")
		bad := fmt.Sprintf("bad --exec %q", entry)
		switch {
		case !ok:
			return nil, usage(path, bad, "it has the form kind='command args…'")
		case !scheduler.ValidKind(kind):
			return nil, usage(path, bad, `%q cannot be a kind: 1 to 128 letters, digits and _ . : / \ -, not starting with punctuation`, kind)
		case taken[kind]:
			return nil, usage(path, bad, "kind %q is given twice", kind)
		}
		taken[kind] = true
		argv, err := splitArgv(line)
		if err == nil && len(argv) == 0 {
			err = errors.New("there is no command after the equals sign")
		}
		if err == nil {
			err = worker.HandleExec(r, kind, argv)
		}
		if err != nil {
			return nil, usage(path, bad, "%v", err)
		}
	}
	return r, nil
}
