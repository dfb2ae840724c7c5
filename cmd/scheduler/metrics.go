package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/spf13/pflag"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/metrics"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
	"github.com/pgscheduler/scheduler/worker/push"
)

// metrics returns what answers with the metrics of a client and, unless they are nil, a worker and deliveries.
func (a *app) metrics(client *scheduler.Client, w *worker.Worker, p *push.Pusher) http.Handler {
	b := version()
	return metrics.New(metrics.Config{Client: client, Worker: w, Pusher: p, Version: b.Version, Revision: b.Revision, Logger: a.global.logger})
}

// metricsPort is an address of the metrics' own. Without one it does nothing.
type metricsPort struct {
	address  string
	listener net.Listener
}

func (p *metricsPort) flag(flags *pflag.FlagSet, usage string) {
	flags.StringVar(&p.address, "metrics-listen", "", usage)
}

// open listens, so that an address that can't be had is a problem at the start.
func (p *metricsPort) open() (err error) {
	if p.address == "" {
		return nil
	}
	if p.listener, err = net.Listen("tcp", p.address); err != nil {
		told := listenProblem(p.address, err)
		told.run = "the same command with another --metrics-listen"
		return told
	}
	return nil
}

// given reports whether there is an address.
func (p *metricsPort) given() bool { return p.listener != nil }

func (p *metricsPort) close() {
	if p.given() {
		_ = p.listener.Close() // nothing was answered yet
	}
}

// serve answers with the metrics until ctx ends.
func (p *metricsPort) serve(ctx context.Context, handler http.Handler, logger *slog.Logger) error {
	if !p.given() {
		return nil
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "serve metrics", slog.String("address", p.listener.Addr().String()))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", handler)
	return httpapi.Serve(ctx, p.listener, mux, logger)
}
