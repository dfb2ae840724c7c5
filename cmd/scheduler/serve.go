package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

const defaultListen = "127.0.0.1:8080"

func (a *app) serveCommand() *cobra.Command {
	var listen string
	var pollOnly bool
	var port metricsPort
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the HTTP API and the dashboard",
		Long: `Serve the HTTP API and, at /, the dashboard, and do what is due: promote delayed tasks, fire schedules, give back the tasks of dead workers. Any
number of servers may run side by side.

Without a token it listens on this machine's own addresses only; --token or SCHEDULER_TOKEN makes clients send
"Authorization: Bearer <token>". Watch URLs, which show a browser one task without that token, are signed with a key that is
derived from it, or with those of SCHEDULER_WATCH_KEYS, the same for all servers behind one name.

SIGTERM or SIGINT lets requests finish for up to 10 s, exit 0; a second one ends it, exit 1.`,
		Example: `  scheduler serve
  SCHEDULER_TOKEN=… scheduler serve --listen 0.0.0.0:8080`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkListen(listen, a.global.token); err != nil {
				return err
			}
			keys, err := a.watchKeys(cmd)
			if err != nil {
				return err
			}
			client, err := a.open(cmd.Context(), cmd, scheduler.Config{PollOnly: pollOnly})
			if err != nil {
				return err
			}
			listener, err := net.Listen("tcp", listen)
			if err != nil {
				client.Close()
				return listenProblem(listen, err)
			}
			if err := port.open(); err != nil {
				listener.Close()
				client.Close()
				return err
			}
			return a.serve(cmd.Context(), client, listener, &port, a.api(keys))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", defaultListen, "`address` to listen on")
	watchKeysFlag(cmd.Flags())
	cmd.Flags().BoolVar(&pollOnly, "poll-only", false, "never LISTEN, for a database behind a pooler that cannot")
	port.flag(cmd.Flags(), "give /metrics an `address` of its own, without a token; else it is at the API's, with the token")
	return cmd
}

// checkListen turns the three lines of httpapi.CheckListen into a problem.
func checkListen(address, token string) error {
	err := httpapi.CheckListen(address, token)
	if err == nil {
		return nil
	}
	lines := append(strings.SplitN(err.Error(), "\n", 3), "", "")
	return &problem{exitUsage, lines[0], lines[1], lines[2]}
}

func listenProblem(address string, err error) *problem {
	p := &problem{exitFailure, "cannot listen on " + address, err.Error(), "the same command with another --listen"}
	if errors.Is(err, syscall.EADDRINUSE) {
		p.why = "another process listens there"
	}
	return p
}

// serve answers requests until it has drained, and closes the client. The second signal cuts that short: then the
// process is about to end, and nothing is waited for.
func (a *app) serve(ctx context.Context, client *scheduler.Client, listener net.Listener, port *metricsPort, config httpapi.Config) error {
	numbers := a.metrics(client, nil, nil)
	if !port.given() {
		config.Metrics = numbers
	}
	handler, err := newHandler(client, config)
	if err != nil {
		port.close()
		return err
	}
	a.draining.Store(true)
	g, life := errgroup.WithContext(ctx)
	g.Go(func() error { return a.answer(life, listener, handler, config) })
	g.Go(func() error { return client.Maintain(life) })
	g.Go(func() error { return hearDue(life, client) })
	g.Go(func() error { return port.serve(life, numbers, a.global.logger) })
	ended := make(chan error, 1)
	go func() { ended <- g.Wait() }() // ends with the server; the process does not outlive a second signal
	select {
	case err := <-ended:
		client.Close()
		return doing(err, "serve")
	case <-a.again:
		return &problem{exitFailure, "the server did not drain", "a second signal ended it", "nothing: clients may send their requests again"}
	}
}

func newHandler(client *scheduler.Client, config httpapi.Config) (http.Handler, error) {
	handler, err := httpapi.New(client, config)
	if err != nil {
		return nil, &problem{exitUsage, "cannot serve", err.Error(), "the same command with another --token"}
	}
	return handler, nil
}

// answer serves the API on the listener until ctx ends.
func (a *app) answer(ctx context.Context, listener net.Listener, handler http.Handler, config httpapi.Config) error {
	a.global.logger.LogAttrs(ctx, slog.LevelInfo, "serve", slog.String("address", listener.Addr().String()),
		slog.String("watch_keys", watchKeysSource(config)))
	return httpapi.Serve(ctx, listener, handler, a.global.logger)
}

// hearDue has Maintain of this process hear what other processes announce.
func hearDue(ctx context.Context, client *scheduler.Client) error {
	return client.Listen(ctx, []string{scheduler.ChannelDue}, func(string, string) {})
}
