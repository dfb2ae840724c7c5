package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pgscheduler/scheduler/scheduler"
)

// rootCommand builds the tree of commands.
func (a *app) rootCommand() *cobra.Command {
	root := group(&cobra.Command{
		Use:   "scheduler",
		Short: "A durable task scheduler on PostgreSQL",
		Long: `A durable task scheduler on the PostgreSQL that you already run: submit slow work and return at once, let workers in any
language do it, watch it live, lose nothing when something dies.`,
		Example: `  scheduler dev
  scheduler submit demo.sleep '{"seconds": 20}' --watch
  scheduler worker --queue mail:2,default --exec mail.send='php send.php'`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version().Version,
	})
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetFlagErrorFunc(flagProblem)
	// The line of usage that a group has for itself says nothing.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		cmd.SetContext(scheduler.WithActor(cmd.Context(), actor()))
		return a.readGlobals(cmd)
	}
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&a.global.databaseURL, "database-url", "", "PostgreSQL `url` (env SCHEDULER_DATABASE_URL, DATABASE_URL, PGHOST and the like)")
	flags.StringVar(&a.global.server, "server", "", "talk HTTP to the server at `url` instead of SQL (env SCHEDULER_URL)")
	flags.StringVar(&a.global.token, "token", "", "access token for the server (env SCHEDULER_TOKEN)")
	flags.StringVarP(&a.global.output, "output", "o", "text", "`format` of data: text, or json with one value a line (env SCHEDULER_OUTPUT)")
	flags.StringVar(&a.global.logLevel, "log-level", "info", "least `level` logged: debug, info, warn, error (env SCHEDULER_LOG_LEVEL)")
	flags.StringVar(&a.global.logFormat, "log-format", "text", "`format` of logs on stderr: text or json (env SCHEDULER_LOG_FORMAT)")
	for flag, values := range map[string][]string{"output": outputs, "log-level": logLevels, "log-format": outputs} {
		must(root.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}

	root.AddGroup(&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "tasks", Title: "Tasks:"}, &cobra.Group{ID: "care", Title: "Care:"})
	add(root, "run", a.devCommand(), a.migrateCommand(), a.serveCommand(), a.workerCommand())
	add(root, "tasks", a.submitCommand(), a.tasksCommand(), a.queuesCommand(), a.schedulesCommand(), a.topicsCommand(), a.endpointsCommand(),
		a.workersCommand(), a.statsCommand())
	add(root, "care", a.auditCommand(), a.doctorCommand(), a.benchCommand(), a.versionCommand())
	root.SetHelpCommandGroupID("care")
	root.SetCompletionCommandGroupID("care")
	root.AddCommand(helpTopics()...)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = knownTopic
		case "completion":
			group(c)
		}
	}
	return root
}

// knownTopic refuses what there is no help about.
func knownTopic(cmd *cobra.Command, args []string) error {
	_, rest, err := cmd.Root().Find(args)
	if err == nil && len(rest) == 0 {
		return nil
	}
	return usage(cmd.Root().Name(), fmt.Sprintf("no help about %q", strings.Join(args, " ")), "there is no such command, and no such topic")
}

func add(parent *cobra.Command, groupID string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = groupID
		parent.AddCommand(c)
	}
}

var (
	outputs   = []string{"text", "json"}
	logLevels = []string{"debug", "info", "warn", "error"}
)

// readGlobals fills in what the environment says for flags that were not given, and checks the values.
func (a *app) readGlobals(cmd *cobra.Command) error {
	for flag, name := range map[string]string{"token": "SCHEDULER_TOKEN", "output": "SCHEDULER_OUTPUT",
		"log-level": "SCHEDULER_LOG_LEVEL", "log-format": "SCHEDULER_LOG_FORMAT"} {
		if value := a.env(name); value != "" && !cmd.Flags().Changed(flag) {
			if f := cmd.Flags().Lookup(flag); f != nil {
				must(f.Value.Set(value)) // strings take any value
			}
		}
	}
	g := &a.global
	for _, c := range []struct {
		flag, value string
		allowed     []string
	}{{"--output", g.output, outputs}, {"--log-level", g.logLevel, logLevels}, {"--log-format", g.logFormat, outputs}} {
		if !slices.Contains(c.allowed, c.value) {
			return usage(cmd.CommandPath(), fmt.Sprintf("bad %s %q", c.flag, c.value), "it is one of: %s", strings.Join(c.allowed, ", "))
		}
	}
	a.screen.JSON = g.output == "json"
	var level slog.Level
	must(level.UnmarshalText([]byte(g.logLevel))) // one of logLevels
	options := &slog.HandlerOptions{Level: level}
	if g.logFormat == "json" {
		g.logger = slog.New(slog.NewJSONHandler(a.screen.Err, options))
	} else {
		g.logger = slog.New(slog.NewTextHandler(a.screen.Err, options))
	}
	slog.SetDefault(g.logger)
	return nil
}

// must is for what only a programmer's mistake can make fail.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// group makes a command that only holds others: by itself it shows help, and it knows what an unknown one may have meant.
func group(c *cobra.Command) *cobra.Command {
	c.SuggestionsMinimumDistance = 2
	c.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		why := fmt.Sprintf("%q has no such command", cmd.CommandPath())
		run := cmd.CommandPath() + " --help"
		if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
			why += "; did you mean " + strings.Join(similar, " or ") + "?"
			run = cmd.CommandPath() + " " + similar[0] + " --help"
		}
		return &problem{exitUsage, fmt.Sprintf("unknown command %q", args[0]), why, run}
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return c
}

func flagProblem(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		why := invalid.Unwrap().Error() // of slices, which say what they are of
		switch invalid.GetFlag().Value.Type() {
		case "int", "int64":
			why = "it is a whole number"
		case "duration":
			why = "it is a duration, as 500ms, 30s or 2h"
		}
		return usage(cmd.CommandPath(), fmt.Sprintf("bad --%s %q", invalid.GetFlag().Name, invalid.GetValue()), "%s", why)
	}
	return usage(cmd.CommandPath(), err.Error(), "the flags of %q do not allow that", cmd.CommandPath())
}

// exclusive refuses two flags that contradict each other.
func exclusive(cmd *cobra.Command, one, other string) error {
	if cmd.Flags().Changed(one) && cmd.Flags().Changed(other) {
		return usage(cmd.CommandPath(), fmt.Sprintf("--%s and --%s exclude each other", one, other), "give one of them")
	}
	return nil
}

// takes checks how many arguments a command has; most below 0: any number.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		var why string
		switch {
		case len(args) < least && least == most:
			why = fmt.Sprintf("it takes %d, as in: %s", least, cmd.UseLine())
		case len(args) < least:
			why = fmt.Sprintf("it takes at least %d, as in: %s", least, cmd.UseLine())
		case most >= 0 && len(args) > most:
			why = fmt.Sprintf("it takes at most %d; values with spaces need quotes, and optional values of flags an equals sign, as --wait=30s", most)
		default:
			return nil
		}
		return usage(cmd.CommandPath(), fmt.Sprintf("%s got %d arguments", cmd.CommandPath(), len(args)), "%s", why)
	}
}
