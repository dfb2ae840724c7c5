package main

import (
	"context"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker/push"
)

// pushFlags say whether this process delivers tasks to endpoints.
type pushFlags struct {
	on    bool
	allow []string
}

func (f *pushFlags) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&f.on, "push", false, "deliver tasks to HTTP endpoints (scheduler endpoints)")
	flags.StringSliceVar(&f.allow, "push-allow", nil, "deliver also to these `addresses`, prefixes as 10.0.0.0/8 and names of hosts; else only to public addresses")
}

// pusher returns what delivers; nil: nothing does.
func (f *pushFlags) pusher(path string, client *scheduler.Client, w workerFlags, a *app) (*push.Pusher, error) {
	if !f.on {
		if len(f.allow) > 0 {
			return nil, usage(path, "--push-allow is of no use", "--push is not given")
		}
		return nil, nil
	}
	config := push.Config{Allow: f.allow, Heartbeat: w.heartbeat, TTL: w.leaseTTL, Poll: w.poll, DrainTimeout: w.drain, Name: w.name,
		Version: version().Version, Logger: a.global.logger}
	if w.drain == 0 {
		config.DrainTimeout = -1
	}
	p, err := push.New(client, config)
	if err != nil {
		return nil, usage(path, "bad flags", "%s", strings.NewReplacer("push: Config.Allow", "--push-allow").Replace(flagNames.Replace(err.Error())))
	}
	return p, nil
}

// pushOnly delivers until ctx ends, in a process that has no worker beside it.
func (a *app) pushOnly(ctx context.Context, client *scheduler.Client, p *push.Pusher) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // what is due is done while deliveries end
	g := errgroup.Group{}
	g.Go(func() error { return client.Maintain(life) }) // ends with life
	err := a.drain(ctx, "the deliveries", p.Abort, p.Run)
	end()
	_ = g.Wait() // Maintain returns nil
	return err
}
