package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pgscheduler/scheduler/worker"
)

// commandFlags are what a worker is told of the long-lived processes that serve its tasks.
type commandFlags struct {
	lines     []string
	procs     int
	maxTasks  int
	maxTime   time.Duration
	maxMemory string
}

func (f *commandFlags) declare(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.lines, "cmd", nil, "serve tasks by long-lived processes of this `command`; they say themselves which kinds; repeatable; no shell")
	flags.IntVar(&f.procs, "procs", 1, "run `N` processes of each --cmd")
	flags.IntVar(&f.maxTasks, "max-tasks", 0, "replace a process of --cmd after `N` tasks; 0: never")
	flags.DurationVar(&f.maxTime, "max-time", 0, "replace a process of --cmd after so long; 0: never")
	flags.StringVar(&f.maxMemory, "max-memory", "", "replace a process of --cmd that holds more than `size` (128M, 1G) after a task; Linux only")
}

// start starts the processes and registers what they serve. Call stop once the worker has ended.
func (f *commandFlags) start(cmd *cobra.Command, registry *worker.Registry, logger *slog.Logger) (stop func(), err error) {
	var all []*worker.Children
	stop = func() {
		for _, children := range all {
			children.Close()
		}
	}
	for _, name := range []string{"procs", "max-tasks", "max-time", "max-memory"} {
		if len(f.lines) == 0 && cmd.Flags().Changed(name) {
			return nil, usage(cmd.CommandPath(), "--"+name+" without --cmd", "it is about the processes of --cmd")
		}
	}
	if len(f.lines) > 0 && f.procs < 1 {
		return nil, usage(cmd.CommandPath(), fmt.Sprintf("bad --procs %d", f.procs), "it is 1 to 1000")
	}
	memory, err := parseSize(f.maxMemory)
	if err != nil {
		return nil, usage(cmd.CommandPath(), fmt.Sprintf("bad --max-memory %q", f.maxMemory), "%v", err)
	}
	for _, line := range f.lines {
		argv, err := splitArgv(line)
		if err == nil && len(argv) == 0 {
			err = errors.New("there is no command")
		}
		if err != nil {
			stop()
			return nil, usage(cmd.CommandPath(), fmt.Sprintf("bad --cmd %q", line), "%v", err)
		}
		children, err := worker.HandleCommand(cmd.Context(), registry, worker.Command{Argv: argv, Procs: f.procs, MaxTasks: f.maxTasks, MaxTime: f.maxTime,
			MaxMemory: memory, Logger: logger})
		if err != nil {
			stop()
			return nil, f.refused(cmd, line, err)
		}
		all = append(all, children)
	}
	return stop, nil
}

// refused says why a command cannot serve.
func (f *commandFlags) refused(cmd *cobra.Command, line string, err error) error {
	if why, ours := strings.CutPrefix(err.Error(), "worker: "); ours {
		return usage(cmd.CommandPath(), "bad flags", "%s", commandNames.Replace(why))
	}
	if cmd.Context().Err() != nil {
		return err
	}
	return &problem{exitFailure, fmt.Sprintf("cannot run the command %q", line), oneLine(err), "the command by hand; it must write a ready frame to descriptor 3: SCHEDULER_FD=3 " + line + " 3>&1"}
}

var commandNames = strings.NewReplacer("Command.Argv", "--cmd", "Command.Procs", "--procs", "Command.MaxTasks", "--max-tasks",
	"Command.MaxTime", "--max-time", "Command.MaxMemory", "--max-memory")

var sizes = regexp.MustCompile(`^([0-9]{1,12})([kKmMgGtT]?)(i?[bB])?$`)

// parseSize reads a number of bytes, or of the multiples of 1024 K, M, G and T. "" is 0.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	found := sizes.FindStringSubmatch(s)
	if found == nil {
		return 0, errors.New("a size is a number with K, M, G or T after it, as in 128M")
	}
	n, err := strconv.ParseInt(found[1], 10, 64)
	unit := int64(1) << (10 * strings.Index(" KMGT", strings.ToUpper(found[2] + " ")[:1]))
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return 0, errors.New("it is at least one byte and less than 8 EiB")
	}
	return n * unit, nil
}
