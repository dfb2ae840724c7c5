package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pgscheduler/scheduler/cmd/scheduler/door"
	"github.com/pgscheduler/scheduler/httpapi"
)

func (a *app) topicsCommand() *cobra.Command {
	topics := group(&cobra.Command{
		Use:     "topics",
		Aliases: []string{"topic"},
		Short:   "Publish messages, for subscriptions and for all who follow",
		Example: `  scheduler topics subscriptions set mailer 'order.*' mail.send --queue mail
  scheduler topics publish order.created '{"order": 7}'
  scheduler topics follow 'order.#'`,
	})
	topics.AddCommand(a.publishCommand(), a.followCommand(), a.subscriptionsCommand())
	return topics
}

func (a *app) publishCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "publish TOPIC [JSON | @file | -]",
		Short: "Publish a message: a task for each subscription that matches",
		Long: `Publish a message and print its id, and each task that was made of it: one for each subscription whose pattern matches the topic. A topic
is words with dots between them, of letters, digits and _ : - . The payload is JSON: given as it is, read from a file (@file) or from stdin (-);
without one it is {}.`,
		Example: `  scheduler topics publish order.created '{"order": 7}'
  scheduler topics publish news.sport @news.json --idempotency-key news-42`,
		Args: takes(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var request httpapi.PublishRequest
			if len(args) > 1 {
				payload, err := a.payload(cmd, args[1])
				if err != nil {
					return err
				}
				request.Payload = payload
			}
			if cmd.Flags().Changed("idempotency-key") {
				request.IdempotencyKey = &key
			}
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				p, err := d.Publish(a.traced(ctx), args[0], request)
				if err != nil {
					return doing(err, "publish to %s", args[0])
				}
				return a.published(p)
			})
		},
	}
	cmd.Flags().StringVar(&key, "idempotency-key", "", "the same request with this `key` again publishes nothing")
	return cmd
}

func (a *app) published(p httpapi.Published) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(p)
	}
	if err := a.screen.Printf("message %s  %s", p.ID, some(len(p.Tasks), "task")); err != nil || len(p.Tasks) == 0 {
		return err
	}
	table := a.screen.Table("SUBSCRIPTION", "TASK", "KIND", "QUEUE")
	for _, t := range p.Tasks {
		table.Row(t.Subscription, t.ID, t.Kind, t.Queue)
	}
	return table.Flush()
}

func (a *app) followCommand() *cobra.Command {
	var after string
	var count int
	cmd := &cobra.Command{
		Use:   "follow PATTERN",
		Short: "Print messages as they are published",
		Long: `Print the messages of all topics that a pattern matches, one a line, as they are published, until it is stopped. In a pattern * stands for any one
word and # for any number of words, none too. All who follow see the messages in the same order.`,
		Example: `  scheduler topics follow 'order.#'
  scheduler topics follow '#' --after 0 -o json`,
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				return doing(a.followTopics(ctx, d, args[0], after, count), "follow %s", args[0])
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&after, "after", "", "go on after this `cursor` of a message; 0: begin with the oldest that is kept (default: from now on)")
	flags.IntVarP(&count, "count", "n", 0, "end after so many messages, `N` (default never)")
	return cmd
}

func (a *app) followTopics(ctx context.Context, d door.Door, pattern, after string, count int) error {
	n := 0
	for event, err := range d.FollowTopics(ctx, pattern, after) {
		switch {
		case err != nil:
			return err
		case event.Expired:
			a.screen.Hintf("messages after %s are not kept any more; this is what there is:", after)
			continue
		case a.screen.JSON:
			err = a.screen.PrintJSON(event)
		default:
			err = a.screen.Printf("%s  %s  %s", a.screen.Time(&event.PublishedAt), event.Topic, compact(event.Payload))
		}
		if n++; err != nil || n == count {
			return err
		}
	}
	return context.Cause(ctx)
}

func (a *app) subscriptionsCommand() *cobra.Command {
	subscriptions := group(&cobra.Command{
		Use:     "subscriptions",
		Aliases: []string{"subscription", "subs"},
		Short:   "Say which topics make which tasks",
		Example: `  scheduler topics subscriptions set mailer 'order.*' mail.send --queue mail
  scheduler topics subscriptions list --topic order.created`,
	})
	subscriptions.AddCommand(a.subscriptionListCommand(), a.subscriptionSetCommand(), &cobra.Command{
		Use:     "delete NAME…",
		Short:   "Remove subscriptions; tasks that were made for them stay",
		Example: `  scheduler topics subscriptions delete mailer`,
		Args:    takes(1, -1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.each(cmd, names, func(ctx context.Context, d door.Door, name string) error {
				if err := d.DeleteSubscription(ctx, name); err != nil {
					return doing(err, "delete subscription %s", name)
				}
				return a.gone("name", name)
			})
		},
	})
	return subscriptions
}

func (a *app) subscriptionListCommand() *cobra.Command {
	var topic string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the subscriptions",
		Example: `  scheduler topics subscriptions list --topic order.created`,
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				subscriptions, err := d.Subscriptions(ctx, topic)
				if err != nil {
					return doing(err, "list subscriptions")
				}
				return a.showSubscriptions(subscriptions)
			})
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "only those that a message of this `topic` would make tasks for")
	return cmd
}

func (a *app) showSubscriptions(subscriptions []httpapi.Subscription) error {
	if a.screen.JSON {
		return a.screen.PrintJSON(list[httpapi.Subscription]{subscriptions})
	}
	table := a.screen.Table("NAME", "PATTERN", "KIND", "QUEUE", "PRIORITY", "MAX ATTEMPTS")
	for _, s := range subscriptions {
		table.Row(s.Name, s.Pattern, s.Kind, s.Queue, strconv.Itoa(s.Priority), strconv.Itoa(s.MaxAttempts))
	}
	return table.Flush()
}

func (a *app) subscriptionSetCommand() *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:   "set NAME PATTERN KIND",
		Short: "Make a subscription, or replace the one of that name",
		Long: `Make a subscription, or replace the one of that name: each message whose topic matches PATTERN makes a task of KIND. A pattern is words with dots
between them; * stands for any one word, # for any number of words, none too.`,
		Example: `  scheduler topics subscriptions set mailer 'order.*' mail.send --queue mail --max-attempts 5`,
		Args:    takes(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := httpapi.SubscriptionRequest{Pattern: args[1], Kind: args[2], Queue: f.queue, Priority: f.priority, BackoffMS: milliseconds(f.backoff)}
			if cmd.Flags().Changed("max-attempts") {
				request.MaxAttempts = &f.maxAttempts
			}
			if cmd.Flags().Changed("timeout") {
				request.TimeoutMS = ms(f.timeout)
			}
			return a.withDoor(cmd, func(ctx context.Context, d door.Door) error {
				s, err := d.SetSubscription(ctx, args[0], request)
				switch {
				case err != nil:
					return doing(err, "set subscription %s", args[0])
				case a.screen.JSON:
					return a.screen.PrintJSON(s)
				}
				return a.screen.Printf("%s  %s → %s", s.Name, s.Pattern, s.Kind)
			})
		},
	}
	cmd.Flags().SortFlags = false
	taskFlags(cmd.Flags(), &f)
	return cmd
}
