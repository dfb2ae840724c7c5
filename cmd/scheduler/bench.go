package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/internal/load/self"
)

type benchFlags struct {
	tasks, seconds, concurrency, payload int
	clients                              []int
	among                                bool
	child                                bool // not for people: be a worker process of scale and memory
}

// benchShort is what bench measures when it is not told what.
var benchShort = []string{"submit", "drain", "e2e", "latency", "idle"}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [WORKLOAD…]",
		Short: "Measure speed and cost on a database",
		Long: `Measure speed and cost on a database: tasks per second, milliseconds, PostgreSQL's CPU and WAL per task. In a database without
the schema "scheduler" it makes that and drops it again; where the schema is, it works in a queue of its own and removes its
tasks afterwards. It refuses a database that has tasks. The workloads, of which the first five are the default:

  submit       single durable submits by 1, 8, 32 and 128 clients, 5 s each
  drain        100,000 tasks, inserted and then worked off
  e2e          inserting and working at once, 20 s, on a cold database and on an analyzed one
  latency      100 submits a second to an idle worker, from the call to the start of the handler
  idle         what a worker costs that has nothing to do, 30 s
  submit-http  submit through the HTTP API
  bloat        500,000 tasks while a snapshot is held open, and the latency before and after
  backlog      what a lease costs with a million tasks ready, a million scheduled, two million finished
  scale        100,000 tasks with 1, 2, 4 and 8 worker processes
  payload      20,000 tasks of 100 bytes, 10 kB and 200 kB
  memory       of a worker process with 1,000 slots
  long         10,000 tasks that run for a minute: heartbeats
  live         10,000 who follow tasks by HTTP, and how long a report takes to them
  all          all of these

The flags change what each workload does by itself. Each keeps two cores and a disk busy: do not point it at a database that
others depend on.`,
		Example: `  scheduler bench --database-url postgres://localhost/scratch
  scheduler bench drain e2e --concurrency 500 -o json
  scheduler bench submit --clients 64 --seconds 10`,
		Args:              benchArgs,
		ValidArgsFunction: cobra.FixedCompletions(append(slices.Clone(self.Workloads), "all"), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.child {
				return self.Child(cmd.Context(), os.Stdin, a.screen.Out, a.benchServe, a.warnings())
			}
			return a.bench(cmd, args, f)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.tasks, "tasks", 0, "use `N` tasks; of backlog: ready ones")
	flags.IntSliceVar(&f.clients, "clients", nil, "submit by `N,N` clients at once, a case each")
	flags.IntVar(&f.seconds, "seconds", 0, "measure for `N` seconds, where time is the limit")
	flags.IntVar(&f.concurrency, "concurrency", 0, "run up to `N` tasks at once in a worker (default 2000; bloat 100; latency, idle 10; scale 500; memory 1000)")
	flags.IntVar(&f.payload, "payload", 0, "make payloads of `N` bytes (default 100)")
	flags.BoolVar(&f.among, "on-my-own-data", false, "also on a database that has tasks; they stay as they are")
	flags.BoolVar(&f.child, "as-worker-process", false, "")
	must(flags.MarkHidden("as-worker-process"))
	return cmd
}

func benchArgs(cmd *cobra.Command, args []string) error {
	for _, arg := range args {
		if arg != "all" && !slices.Contains(self.Workloads, arg) {
			return usage(cmd.CommandPath(), fmt.Sprintf("unknown workload %q", arg), "it is one of: %s, all", strings.Join(self.Workloads, ", "))
		}
	}
	return nil
}

func (a *app) bench(cmd *cobra.Command, workloads []string, f benchFlags) (err error) {
	switch {
	case len(workloads) == 0:
		workloads = benchShort
	case slices.Contains(workloads, "all"):
		workloads = self.Workloads
	}
	options := load.Options{Tasks: f.tasks, Clients: f.clients, Window: time.Duration(f.seconds) * time.Second, Slots: f.concurrency, Payload: f.payload}
	if err := options.Validate(); err != nil {
		return usage(cmd.CommandPath(), "bad flags", "%v", err)
	}
	url, err := a.needDatabase(cmd)
	if err != nil {
		return err
	}
	stage, err := self.Enter(cmd.Context(), self.Config{DatabaseURL: url, Among: f.among, Child: benchChild, HTTP: a.benchHTTP,
		Progress: a.benchProgress(), Logger: a.warnings()})
	if err != nil {
		return benchRefused(err)
	}
	defer func() { // also when a signal ends the command
		err = errors.Join(err, doing(stage.Leave(context.WithoutCancel(cmd.Context())), "clean up after the benchmark"))
	}()
	var results []load.Result
	emit := func(r load.Result) error {
		a.wipe()
		results = append(results, r)
		if a.screen.JSON {
			return a.screen.PrintJSON(r)
		}
		return nil
	}
	for i, workload := range workloads {
		if i > 0 {
			if err = stage.Reset(cmd.Context()); err != nil {
				break
			}
		}
		if a.screen.ErrColumns == nil && !a.screen.JSON {
			a.screen.Hintf("measuring %s", workload)
		}
		if err = stage.Run(cmd.Context(), workload, options, emit); err != nil {
			break
		}
	}
	a.wipe()
	if !a.screen.JSON && len(results) > 0 {
		err = errors.Join(err, a.showBench(results))
	}
	return doing(err, "measure")
}

func benchRefused(err error) error {
	switch {
	case errors.Is(err, self.ErrHasTasks):
		return &problem{exitConflict, "the benchmark was refused", "the database has tasks, and the load would slow down whoever works on them",
			"scheduler bench on an empty database, or scheduler bench --on-my-own-data, which leaves the tasks as they are"}
	case errors.Is(err, self.ErrBusy):
		return &problem{exitConflict, "the benchmark was refused", "another one is under way on this database", "the same command when that has ended"}
	}
	return doing(err, "make the database ready")
}

// benchChild is the command of a worker process.
func benchChild(ctx context.Context) *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	return exec.CommandContext(ctx, program, "bench", "--as-worker-process")
}

// warnings is the logger without what says that all is well, which would tear the bar.
func (a *app) warnings() *slog.Logger { return slog.New(onlyWarnings{a.global.logger.Handler()}) }

type onlyWarnings struct{ slog.Handler }

func (h onlyWarnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// benchProgress draws a bar on a terminal.
func (a *app) benchProgress() func(load.Progress) {
	if a.screen.ErrColumns == nil {
		return nil
	}
	return func(p load.Progress) {
		a.screen.Draw(screen.Progress{Label: p.Workload, State: p.Phase, Message: p.Phase, Current: p.Done, Total: p.Total})
	}
}

func (a *app) wipe() {
	if a.screen.ErrColumns != nil {
		a.screen.Wipe()
	}
}

// showBench prints a table, and what was odd.
func (a *app) showBench(results []load.Result) error {
	t := a.screen.Table("WORKLOAD", "CASE", "TASKS", "TASKS/S", "P50 MS", "P95 MS", "P99 MS", "PG US", "CLIENT US", "WAL B", "HOT %", "STEAL %", "MORE")
	var notes []string
	for _, r := range results {
		t.Row(r.Workload, r.Case, strconv.FormatInt(r.Tasks, 10), figure(r.PerSecond), figure(r.P50), figure(r.P95), figure(r.P99),
			figure(r.ServerCPU), figure(r.ClientCPU), figure(r.WAL), figure(r.HOT), figure(r.Steal), more(r))
		for _, note := range r.Notes {
			if note = strings.TrimSpace(r.Workload+" "+r.Case) + ": " + note; !slices.Contains(notes, note) {
				notes = append(notes, note)
			}
		}
	}
	err := t.Flush()
	a.screen.Hintf("PG US, CLIENT US: microseconds of CPU per task in PostgreSQL and in the client; WAL B: bytes of WAL per task")
	for _, note := range notes {
		a.screen.Hintf("%s", screen.Clean(note))
	}
	return err
}

// figure shows a value without an exponent; "": it was not measured.
func figure(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

// more shows what only some workloads measure.
func more(r load.Result) string {
	var parts []string
	add := func(v *float64, format string) {
		if v != nil {
			parts = append(parts, fmt.Sprintf(format, figure(v)))
		}
	}
	add(r.TransactionsPerSecond, "%s transactions/s")
	add(r.ServerPercent, "PostgreSQL %s%% of a core")
	add(r.ClientPercent, "client %s%%")
	add(r.WALPerSecond, "WAL %s B/s")
	add(r.Megabytes, "%s MB/s")
	add(r.Buffers, "%s pages a lease")
	add(r.WalkMS, "from the beginning %s ms")
	add(r.WalkBuffers, "%s pages")
	add(r.RSS, "%s MB")
	add(r.PeakRSS, "at most %s MB")
	add(r.PerFollower, "%s KiB a follower")
	if len(r.Slices) > 0 {
		var rates []string
		for _, rate := range r.Slices {
			rates = append(rates, figure(&rate))
		}
		parts = append(parts, "tenths: "+strings.Join(rates, " "))
	}
	return strings.Join(parts, ", ")
}
