package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/privatepg"
	"github.com/pgscheduler/scheduler/migrations"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
	"github.com/pgscheduler/scheduler/worker/push"
)

type devFlags struct {
	workerFlags
	ephemeral bool
	dataDir   string
	listen    string
	noWorker  bool
}

// devReady is what dev says once all is up, as JSON.
type devReady struct {
	DatabaseURL string   `json:"database_url"`
	APIURL      string   `json:"api_url"`
	PID         int      `json:"pid"`
	Postgres    string   `json:"postgres"` // version; "": the database was given
	DataDir     *string  `json:"data_dir"` // null: the database was given, or goes with the process
	Kinds       []string `json:"kinds"`    // that its worker runs
}

func (a *app) devCommand() *cobra.Command {
	f := devFlags{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine: PostgreSQL, schema, API and a worker",
		Long: `Run everything on this machine: a private PostgreSQL, the schema, the API and a worker, until Ctrl-C. PostgreSQL comes from
this machine's own programs and listens on a Unix socket only. Its data stays for the next run unless --ephemeral is given.
When a database is given (--database-url or the environment), that one is migrated and used instead.

Without --cmd and --exec the worker runs the kinds demo.sleep ({"seconds":20,"fail":false}) and demo.echo.`,
		Example: `  scheduler dev
  scheduler dev --ephemeral --exec mail.send='php send-mail.php'
  scheduler dev -o json | head -1`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dev(cmd, f) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.ephemeral, "ephemeral", false, "keep nothing: a cluster of its own that goes with this process")
	flags.StringVar(&f.dataDir, "data-dir", "", "keep the cluster in `dir` (default /var/lib/scheduler/dev/<major> for root, else ~/.local/share/scheduler/dev/<major>)")
	flags.StringVar(&f.listen, "listen", defaultListen, "`address` of the API; when its port is taken, the next free one")
	flags.BoolVar(&f.noWorker, "no-worker", false, "run no worker")
	watchKeysFlag(flags)
	f.handlerFlags(flags)
	f.push.flags(flags)
	flags.DurationVar(&f.drain, "drain-timeout", 3*time.Second, "let running tasks finish for so long at the end; 0: not at all")
	return cmd
}

func (a *app) dev(cmd *cobra.Command, f devFlags) (err error) {
	if err := exclusive(cmd, "ephemeral", "data-dir"); err != nil {
		return err
	}
	f.demo = len(f.exec) == 0 && len(f.commands.lines) == 0
	f.heartbeat, f.poll = 5*time.Second, time.Second
	registry, err := f.registry(cmd.CommandPath())
	if err != nil {
		return err
	}
	config, err := f.config(cmd.CommandPath())
	if err != nil {
		return err
	}
	if err := checkListen(f.listen, a.global.token); err != nil {
		return err
	}
	keys, err := a.watchKeys(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	p, err := a.devPostgres(cmd, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	client, migrated, err := a.devDatabase(ctx, p.url)
	if err != nil {
		return err
	}
	defer client.Close()
	listener, err := a.listenNear(f.listen)
	if err != nil {
		return err
	}
	config.Logger = a.global.logger
	d := &devRun{app: a, client: client, api: a.api(keys), listener: listener, postgres: p, migrated: migrated}
	if !f.noWorker {
		stop, err := f.commands.start(cmd, registry, a.global.logger)
		if err != nil {
			listener.Close()
			return err
		}
		defer stop()
		if d.worker, err = worker.New(client, registry, config); err != nil {
			listener.Close()
			return usage(cmd.CommandPath(), "bad flags", "%s", flagNames.Replace(err.Error()))
		}
		d.kinds, d.slots = registry.Kinds(), d.worker.Counts().Slots
	}
	if d.pusher, err = f.push.pusher(cmd.CommandPath(), client, f.workerFlags, a); err != nil {
		listener.Close()
		return err
	}
	return d.run(ctx)
}

// devPostgres is the PostgreSQL that dev works on.
type devPostgres struct {
	url     string
	server  *privatepg.Server // nil: the database was given
	dataDir string            // "": given, or temporary
}

func (p devPostgres) stop() error {
	if p.server == nil {
		return nil
	}
	return doing(p.server.Stop(), "stop the private PostgreSQL")
}

// devPostgres finds the database that was given, or starts one.
func (a *app) devPostgres(cmd *cobra.Command, f devFlags) (p devPostgres, err error) {
	url, given, err := a.database(cmd)
	if err != nil || given {
		if given && (f.ephemeral || f.dataDir != "") {
			return p, usage(cmd.CommandPath(), "--ephemeral and --data-dir are for a private PostgreSQL",
				"a database is given, by --database-url or by SCHEDULER_DATABASE_URL, DATABASE_URL, PGHOST or PGDATABASE")
		}
		return devPostgres{url: url}, err
	}
	config := privatepg.Config{Dir: f.dataDir, Log: a.screen.Err, InstallMissing: true}
	if !f.ephemeral && f.dataDir == "" {
		major, err := privatepg.Major(cmd.Context(), config)
		if err == nil {
			if config.Dir, err = privatepg.DefaultDir(major); err != nil {
				return p, &problem{exitUsage, "cannot tell where to keep the data", oneLine(errors.Unwrap(err)),
					"scheduler dev --data-dir DIR, or scheduler dev --ephemeral to keep nothing"}
			}
		}
		if err != nil {
			return p, a.startProblem(cmd.Context(), err)
		}
	}
	server, err := privatepg.Start(cmd.Context(), config)
	if err != nil {
		return p, a.startProblem(cmd.Context(), err)
	}
	return devPostgres{url: server.URL("scheduler"), server: server, dataDir: config.Dir}, nil
}

// startProblem is why there is no private PostgreSQL. What its programs said goes before the three lines.
func (a *app) startProblem(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // whatever was begun is undone
	}
	const what = "start a private PostgreSQL"
	var missing *privatepg.NotFoundError
	if errors.As(err, &missing) {
		return doing(missing, what)
	}
	why, said, _ := strings.Cut(strings.TrimPrefix(err.Error(), what+": "), "\n")
	for line := range strings.Lines(said) {
		a.screen.Hintf("%s", strings.TrimRight(line, "\n"))
	}
	return &problem{exitFailure, "cannot " + what, why, "after that is mended: scheduler dev; or with a database of yours: scheduler dev --database-url …"}
}

// devDatabase migrates and opens the database, and says in words what migrating did.
func (a *app) devDatabase(ctx context.Context, url string) (*scheduler.Client, string, error) {
	if err := refuseNewer(ctx, a, url); err != nil {
		return nil, "", doing(err, "migrate the database")
	}
	began := time.Now()
	applied, err := migrations.Up(ctx, url)
	if err != nil {
		return nil, "", doing(err, "migrate the database")
	}
	migrated := "up to date"
	if len(applied) > 0 {
		migrated = fmt.Sprintf("%d applied in %.1fs", len(applied), time.Since(began).Seconds())
	}
	retention, err := a.messageRetention("scheduler dev")
	if err != nil {
		return nil, "", err
	}
	client, err := scheduler.Open(ctx, scheduler.Config{DatabaseURL: url, MessageRetention: retention, Logger: a.global.logger})
	return client, migrated, doing(err, "use the database")
}

// listenNear listens on the address, or on the next free port, and then says so.
func (a *app) listenNear(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return listener, nil
	}
	host, port, splitErr := net.SplitHostPort(address)
	first, numErr := strconv.Atoi(port)
	if !errors.Is(err, syscall.EADDRINUSE) || splitErr != nil || numErr != nil {
		return nil, listenProblem(address, err)
	}
	for next := first + 1; next <= min(first+100, 65535); next++ {
		if listener, nextErr := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(next))); nextErr == nil {
			a.screen.Hintf("port %d is taken, using %d", first, next)
			return listener, nil
		}
	}
	return nil, listenProblem(address, err)
}

// devRun is dev once everything is up.
type devRun struct {
	app      *app
	client   *scheduler.Client
	api      httpapi.Config
	listener net.Listener
	postgres devPostgres
	migrated string
	worker   *worker.Worker // nil: none
	pusher   *push.Pusher   // nil: none
	kinds    []string
	slots    int
}

func (d *devRun) run(ctx context.Context) error {
	d.api.Metrics = d.app.metrics(d.client, d.worker, d.pusher)
	handler, err := newHandler(d.client, d.api)
	if err != nil {
		d.listener.Close()
		return err
	}
	if err := d.announce(); err != nil { // before the first log line; requests already queue at the listener
		d.app.global.logger.LogAttrs(ctx, slog.LevelWarn, "announce", slog.Any("err", err))
	}
	d.app.draining.Store(true)
	g, life := errgroup.WithContext(ctx)
	g.Go(func() error { return d.app.answer(life, d.listener, handler, d.api) })
	if d.worker != nil {
		g.Go(func() error {
			if err := d.app.work(life, d.client, d.worker, d.pusher); err != nil {
				return err
			}
			return d.client.Maintain(life) // when the worker was told to stop
		})
	} else if d.pusher != nil {
		g.Go(func() error { return d.app.pushOnly(life, d.client, d.pusher) })
	} else {
		g.Go(func() error { return d.client.Maintain(life) })
		g.Go(func() error { return hearDue(life, d.client) })
	}
	return doing(g.Wait(), "run")
}

// announce says that all is up, and how to reach it.
func (d *devRun) announce() error {
	s, api := d.app.screen, "http://"+d.listener.Addr().String()
	if s.JSON {
		ready := devReady{DatabaseURL: d.postgres.url, APIURL: api, PID: os.Getpid(), Kinds: append([]string{}, d.kinds...)}
		if d.postgres.server != nil {
			ready.Postgres = d.postgres.server.Version()
		}
		if d.postgres.dataDir != "" {
			ready.DataDir = &d.postgres.dataDir
		}
		return s.PrintJSON(ready)
	}
	deliveries := "none: no --push"
	if d.pusher != nil {
		deliveries = "to HTTP endpoints: scheduler endpoints set …"
	}
	work := "none"
	if d.worker != nil {
		work = fmt.Sprintf("%d slots, kinds: %s", d.slots, strings.Join(d.kinds, ", "))
	}
	access := "no token: this machine only"
	if d.app.global.token != "" {
		access = "with the token given"
	}
	lines := [][2]string{{"postgres", d.postgres.words()}, {"migrations", d.migrated}, {"api", api + "/v1  (" + access + ")"}, {"worker", work}, {"push", deliveries}}
	if d.postgres.server != nil { // a URL that was given may hold a password
		lines = append(lines, [2]string{"psql", "psql '" + d.postgres.url + "'"})
	}
	try := `demo.sleep '{"seconds": 20}'`
	if len(d.kinds) > 0 && !slices.Contains(d.kinds, "demo.sleep") {
		try = d.kinds[0] + " '{}'"
	}
	lines = append(lines, [2]string{"try", "scheduler submit " + try + " --watch --server " + api})
	for _, line := range lines {
		if err := s.Printf("  %-11s %s", line[0], line[1]); err != nil {
			return err
		}
	}
	return s.Printf("Press Ctrl-C to stop.")
}

func (p devPostgres) words() string {
	switch {
	case p.server == nil:
		return "the database that was given"
	case p.server.Attached():
		return p.server.Version() + "  started by another process, and ends with it; data kept in " + p.dataDir
	case p.dataDir == "":
		return p.server.Version() + "  private (Unix socket); data is dropped at the end"
	}
	return p.server.Version() + "  private (Unix socket); data kept in " + p.dataDir
}
