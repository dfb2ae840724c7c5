package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

func (a *app) endpointsCommand() *cobra.Command {
	endpoints := group(&cobra.Command{
		Use:     "endpoints",
		Aliases: []string{"endpoint"},
		Short:   "Push tasks to HTTP endpoints",
		Example: `  scheduler endpoints set shop https://shop.example/tasks --kind mail.send,report.generate
  scheduler worker --push`,
	})
	endpoints.AddCommand(
		&cobra.Command{
			Use:     "list",
			Short:   "List the endpoints with their breakers",
			Example: `  scheduler endpoints list`,
			Args:    takes(0, 0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
					list, err := d.Endpoints(ctx)
					if err != nil {
						return doing(err, "list endpoints")
					}
					return a.showEndpoints(list)
				})
			},
		},
		a.endpointSetCommand(),
		a.endpointDeleteCommand(),
		a.endpointChange("pause", "Stop deliveries to endpoints; their tasks wait", door.Door.PauseEndpoint),
		a.endpointChange("resume", "Let endpoints be delivered to again; when a breaker is open, the next task is the probe", door.Door.ResumeEndpoint),
	)
	return endpoints
}

func (a *app) showEndpoints(endpoints []httpapi.Endpoint) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(list[httpapi.Endpoint]{endpoints})
	}
	table := a.screen.Table("NAME", "BREAKER", "IN FLIGHT", "PROCESSES", "QUEUES", "KINDS", "URL", "LAST ERROR")
	for _, e := range endpoints {
		failed := ""
		if e.LastError != nil {
			failed = e.LastError.Message
		}
		table.Row(e.Name, breakerWords(e), fmt.Sprintf("%d/%d", e.InFlight, e.Concurrency), fmt.Sprint(e.Processes), strings.Join(e.Queues, ","),
			strings.Join(e.Kinds, ","), e.URL, failed)
	}
	return table.Flush()
}

// breakerWords says in a word whether an endpoint is delivered to.
func breakerWords(e httpapi.Endpoint) string {
	if e.Paused {
		return "paused"
	}
	return strings.ReplaceAll(e.Breaker.State, "_", " ")
}

func (a *app) endpointSetCommand() *cobra.Command {
	var r httpapi.EndpointRequest
	var concurrency, failures int
	var rate float64
	var timeout, complete, pause time.Duration
	cmd := &cobra.Command{
		Use:   "set NAME URL",
		Short: "Make an endpoint, or replace the one of that name",
		Long: `Make an endpoint, or replace the one of that name. Tasks of its kinds are posted to URL by processes that run with --push, signed
as Standard Webhooks say. A new endpoint without --secret gets one made for it, which is shown this once. What is not given
takes its default, but for the secrets, which stay; a pause stays too.`,
		Example: `  scheduler endpoints set shop https://shop.example/tasks --kind mail.send,report.generate
  scheduler endpoints set shop https://shop.example/tasks --kind mail.send --concurrency 4 --rate 20 --secret "$NEW" --secret "$OLD"`,
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.URL = args[1]
			changed := cmd.Flags().Changed
			if len(r.Kinds) == 0 {
				return usage(cmd.CommandPath(), "there is nothing to deliver", "--kind is not given")
			}
			if changed("concurrency") {
				r.Concurrency = &concurrency
			}
			if changed("breaker-failures") {
				r.BreakerFailures = &failures
			}
			if changed("rate") {
				r.Rate = &rate
			}
			if changed("timeout") {
				r.TimeoutMS = ms(timeout)
			}
			if changed("complete-within") {
				r.CompleteWithinMS = ms(complete)
			}
			if changed("breaker-pause") {
				r.BreakerPauseMS = ms(pause)
			}
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				e, err := d.SetEndpoint(ctx, args[0], r)
				return doing(a.endpointIs(e, err), "set endpoint %s", args[0])
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&r.Kinds, "kind", nil, "deliver tasks of these `kinds`; needed")
	flags.StringSliceVar(&r.Queues, "queue", nil, "of these `queues` (default default)")
	flags.StringArrayVar(&r.Secrets, "secret", nil, "sign with this `secret`, whsec_ and base64; repeatable, the newest first, while receivers change over")
	flags.IntVar(&concurrency, "concurrency", 10, "`N` tasks at once at most, of all processes together")
	flags.Float64Var(&rate, "rate", 0, "`N` deliveries a second at most, of all processes together (default no limit)")
	flags.DurationVar(&timeout, "timeout", 30*time.Second, "give up on an answer after so long")
	flags.DurationVar(&complete, "complete-within", 15*time.Minute, "give up on a task so long after an answer of 202")
	flags.IntVar(&failures, "breaker-failures", 5, "open the breaker after `N` failures in a row")
	flags.DurationVar(&pause, "breaker-pause", 30*time.Second, "try an open one again after so long")
	return cmd
}

// endpointIs prints what an endpoint became.
func (a *app) endpointIs(e httpapi.Endpoint, err error) error {
	switch {
	case err != nil:
		return err
	case a.screen.JSON:
		return a.screen.PrintJSON(e)
	case e.Secret != nil:
		a.screen.Hintf("keep the secret: it is shown this once")
		return a.screen.Printf("%s  %s  %s", e.Name, breakerWords(e), *e.Secret)
	}
	return a.screen.Printf("%s  %s", e.Name, breakerWords(e))
}

func (a *app) endpointChange(verb, short string, change func(door.Door, context.Context, string) (httpapi.Endpoint, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " NAME…",
		Short:   short,
		Example: "  scheduler endpoints " + verb + " shop",
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.each(cmd, names, func(ctx context.Context, d door.Door, name string) error {
				e, err := change(d, ctx, name)
				return doing(a.endpointIs(e, err), "%s endpoint %s", verb, name)
			})
		},
	}
}

func (a *app) endpointDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME…",
		Short:   "Remove endpoints; their tasks stay",
		Example: `  scheduler endpoints delete shop`,
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.each(cmd, names, func(ctx context.Context, d door.Door, name string) error {
				if err := d.DeleteEndpoint(ctx, name); err != nil {
					return doing(err, "delete endpoint %s", name)
				}
				return a.gone("name", name)
			})
		},
	}
}
