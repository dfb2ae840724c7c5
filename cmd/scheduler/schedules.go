package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

func (a *app) schedulesCommand() *cobra.Command {
	schedules := group(&cobra.Command{
		Use:     "schedules",
		Aliases: []string{"schedule"},
		Short:   "Make tasks at the ticks of cron expressions",
		Example: `  scheduler schedules set nightly '0 3 * * *' report.generate '{"all": true}' --tz Europe/Paris
  scheduler schedules next nightly`,
	})
	schedules.AddCommand(
		&cobra.Command{
			Use:     "list",
			Short:   "List the schedules",
			Example: `  scheduler schedules list`,
			Args:    takes(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
					schedules, err := d.Schedules(ctx)
					if err != nil {
						return doing(err, "list schedules")
					}
					return a.showSchedules(schedules)
				})
			},
		},
		a.scheduleSetCommand(), a.scheduleNextCommand(), a.scheduleTriggerCommand(),
		a.scheduleChange("pause", "Let schedules make no tasks", door.Door.PauseSchedule),
		a.scheduleChange("resume", "Let schedules make tasks again, from their next tick on", door.Door.ResumeSchedule),
		a.scheduleDeleteCommand(),
	)
	return schedules
}

func (a *app) showSchedules(schedules []httpapi.Schedule) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(list[httpapi.Schedule]{schedules})
	}
	table := a.screen.Table("NAME", "EXPRESSION", "ZONE", "KIND", "QUEUE", "LAST", "NEXT", "ERROR")
	for _, s := range schedules {
		next := a.screen.Time(s.NextRunAt)
		if s.Paused {
			next = "paused"
		}
		table.Row(s.Name, s.Expression, s.Zone, s.Kind, s.Queue, a.screen.Time(s.LastRunAt), next, text(s.Error))
	}
	return table.Flush()
}

func (a *app) scheduleSetCommand() *cobra.Command {
	var f submitFlags
	var zone string
	cmd := &cobra.Command{
		Use:   "set NAME CRON KIND [JSON | @file | -]",
		Short: "Make a schedule, or replace the one of that name",
		Long: `Make a schedule, or replace the one of that name. CRON has five fields (minute, hour, day of month, month, day of week), or six
with leading seconds, or is @hourly, @daily, @weekly, @monthly, @yearly, or "@every 90s". A pause stays, and so does the
pending tick unless expression or zone changed.`,
		Example: `  scheduler schedules set nightly '0 3 * * *' report.generate '{"all": true}' --tz Europe/Paris
  scheduler schedules set beat '@every 30s' ping --queue low`,
		Args: takes(3, 4),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := httpapi.ScheduleRequest{Expression: args[1], Zone: zone, Kind: args[2], Queue: f.queue, Priority: f.priority,
				BackoffMS: milliseconds(f.backoff)}
			if len(args) > 3 {
				payload, err := a.payload(cmd, args[3])
				if err != nil {
					return err
				}
				request.Payload = payload
			}
			if cmd.Flags().Changed("max-attempts") {
				request.MaxAttempts = &f.maxAttempts
			}
			if cmd.Flags().Changed("timeout") {
				request.TimeoutMS = ms(f.timeout)
			}
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				s, err := d.SetSchedule(ctx, args[0], request)
				return doing(a.scheduled(s, err), "set schedule %s", args[0])
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&zone, "tz", "", "IANA time `zone` in which CRON is read, as Europe/Paris (default UTC)")
	taskFlags(flags, &f)
	return cmd
}

// scheduled prints what a schedule became.
func (a *app) scheduled(s httpapi.Schedule, err error) error {
	switch {
	case err != nil:
		return err
	case a.screen.JSON:
		return a.screen.PrintJSON(s)
	case s.Paused:
		return a.screen.Printf("%s  paused", s.Name)
	}
	return a.screen.Printf("%s  next %s", s.Name, a.screen.Time(s.NextRunAt))
}

func (a *app) scheduleNextCommand() *cobra.Command {
	var n int
	cmd := &cobra.Command{
		Use:     "next NAME",
		Short:   "Show the next ticks of a schedule",
		Long:    "Show the next ticks of a schedule, in UTC; of a paused one those that it would have if it were resumed now.",
		Example: `  scheduler schedules next nightly -n 10`,
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 || n > 100 {
				return usage(cmd.CommandPath(), fmt.Sprintf("bad -n %d", n), "it is 1 to 100")
			}
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				ticks, err := d.Next(ctx, args[0], n)
				if err != nil {
					return doing(err, "work out the next ticks of schedule %s", args[0])
				}
				return a.showTicks(ticks)
			})
		},
	}
	cmd.Flags().IntVarP(&n, "count", "n", 5, "how many, `N`")
	return cmd
}

func (a *app) showTicks(ticks []time.Time) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(list[time.Time]{append([]time.Time{}, ticks...)})
	}
	for _, tick := range ticks {
		line := tick.UTC().Format(time.RFC3339)
		if a.screen.Interactive() {
			line += "  " + a.screen.Time(&tick)
		}
		if err := a.screen.Printf("%s", line); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) scheduleTriggerCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "trigger NAME…",
		Short:   "Make a task of schedules now, beside their ticks, and print its id",
		Example: `  scheduler schedules trigger nightly`,
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.each(cmd, names, func(ctx context.Context, d door.Door, name string) error {
				task, err := d.Trigger(a.traced(ctx), name)
				switch {
				case err != nil:
					return doing(err, "trigger schedule %s", name)
				case a.screen.JSON:
					return a.screen.PrintJSON(task)
				}
				return a.screen.Printf("%s", task.ID)
			})
		},
	}
}

func (a *app) scheduleChange(verb, short string, change func(door.Door, context.Context, string) (httpapi.Schedule, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME…",
		Short:   short,
		Example: "  scheduler schedules " + verb + " nightly",
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.each(cmd, names, func(ctx context.Context, d door.Door, name string) error {
				s, err := change(d, ctx, name)
				return doing(a.scheduled(s, err), "%s schedule %s", verb, name)
			})
		},
	}
}

func (a *app) scheduleDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME…",
		Short:   "Remove schedules; tasks that they made stay",
		Example: `  scheduler schedules delete nightly`,
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.each(cmd, names, func(ctx context.Context, d door.Door, name string) error {
				if err := d.DeleteSchedule(ctx, name); err != nil {
					return doing(err, "delete schedule %s", name)
				}
				return a.gone("name", name)
			})
		},
	}
}
