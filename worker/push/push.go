package push

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// Config of a Pusher. The zero value delivers to public addresses only.
type Config struct {
	// Allow is what may be delivered to besides public addresses: addresses, prefixes as 10.0.0.0/8, and names of hosts as
	// they stand in the URLs of endpoints, whatever they resolve to. Whoever may set endpoints reaches these through this process.
	Allow []string

	// Heartbeat, TTL, Poll: as of worker.Config.
	Heartbeat, TTL, Poll time.Duration

	// DrainTimeout is how long Run waits for deliveries, once its context has ended, before it hands them back. What was accepted by
	// 202 it does not wait for. 0: 30 s; negative: not at all.
	DrainTimeout time.Duration

	// Name of the process, shown to people. "": host:pid.
	Name string

	// Version of the program.
	Version string

	// Logger gets what happens. nil: slog.Default(). Payloads, answers and secrets are never logged.
	Logger *slog.Logger
}

// Pusher delivers tasks to all endpoints. Make it with New; call Run once.
type Pusher struct {
	client  *scheduler.Client
	config  Config
	http    *http.Client
	agent   string
	tallies tallies
	changed chan struct{}
	abort   chan struct{}
	once    sync.Once // closes abort

	mu    sync.Mutex
	lines map[*line]bool // those that deliver, and those that have not ended yet

	attempts attempts
}

// New returns a Pusher. It returns an error that names the field for a bad Config.
func New(client *scheduler.Client, config Config) (*Pusher, error) {
	allow, err := newAllowList(config.Allow)
	if err != nil {
		return nil, err
	}
	if config.Name == "" {
		host, _ := os.Hostname()
		config.Name = host + ":" + strconv.Itoa(os.Getpid())
	}
	if config.DrainTimeout == 0 {
		config.DrainTimeout = 30 * time.Second
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if err := (worker.Config{Heartbeat: config.Heartbeat, TTL: config.TTL, Poll: config.Poll}).Check(); err != nil {
		return nil, err
	}
	return &Pusher{client: client, config: config, http: newClient(allow), agent: "scheduler-push/" + config.Version,
		changed: make(chan struct{}, 1), abort: make(chan struct{}), lines: map[*line]bool{}}, nil
}

const (
	lookEvery   = 5 * time.Second  // for endpoints that changed, while that is not heard
	lookSeldom  = 30 * time.Second // while it is
	lookWithin  = 10 * time.Second
	changesWait = 50 * time.Millisecond // changes often come together
)

// Run delivers until ctx ends, then waits for what is under way for Config.DrainTimeout and hands the rest back. It returns nil
// after that, worker.ErrAborted after Abort. A database that goes away is waited for. Besides it, scheduler.Client.Maintain
// must run somewhere.
func (p *Pusher) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // what is under way is told of changes too
	var duties sync.WaitGroup                                   // each ends with life
	defer duties.Wait()
	defer end()
	defer p.http.CloseIdleConnections()
	duties.Go(func() { _ = p.client.Listen(life, worker.Channels(), p.hear) }) // a closed client ends the rest, too

	p.follow(ctx, life)
	p.each(func(l *line) { l.stop() })
	return p.drain()
}

// Abort ends Run at once: deliveries are broken off, and all tasks are handed back. Safe to call from any goroutine, more than
// once.
func (p *Pusher) Abort() { p.once.Do(func() { close(p.abort) }) }

// drain waits for the lines to end.
func (p *Pusher) drain() (err error) {
	timeout := time.NewTimer(max(p.config.DrainTimeout, 0))
	defer timeout.Stop()
	var all []*line
	p.each(func(l *line) { all = append(all, l) })
	for _, l := range all {
		select {
		case <-l.ended:
			continue
		case <-p.abort:
			err = worker.ErrAborted
		case <-timeout.C:
		}
		for _, l := range all {
			l.abort()
		}
		break
	}
	for _, l := range all {
		<-l.ended
	}
	return err
}

func (p *Pusher) each(f func(*line)) {
	p.mu.Lock()
	var list []*line
	for l := range p.lines {
		list = append(list, l)
	}
	p.mu.Unlock()
	for _, l := range list {
		f(l)
	}
}

// hear passes on notifications; changes of endpoints come as those of queues do.
func (p *Pusher) hear(channel, payload string) {
	p.each(func(l *line) { l.with(func(w *worker.Worker) { w.Hear(channel, payload) }) })
	if channel == "" || channel == scheduler.ChannelControl && payload == "*" {
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
}

// follow keeps the lines as the endpoints are until ctx ends or Abort is called.
func (p *Pusher) follow(ctx, life context.Context) {
	current := map[string]*line{}
	failing := false
	for {
		err := p.look(ctx, life, current)
		if err != nil && !failing && ctx.Err() == nil {
			p.config.Logger.LogAttrs(ctx, slog.LevelWarn, "read endpoints", slog.Any("err", err))
		}
		failing = err != nil
		wait := lookEvery
		if p.client.Hearing() && !failing {
			wait = lookSeldom
		}
		select {
		case <-ctx.Done():
			return
		case <-p.abort:
			return
		case <-p.changed:
			wait = changesWait
		case <-time.After(wait):
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// look starts, renews and ends lines.
func (p *Pusher) look(ctx, life context.Context, current map[string]*line) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	secrets, err := p.client.EndpointSecrets(ctx)
	if err != nil {
		return err
	}
	endpoints, err := p.client.Endpoints(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, e := range endpoints {
		if s, known := secrets[e.Name]; !known || !s.UpdatedAt.Equal(e.UpdatedAt) { // it was made or changed since: the next look has it
			there[e.Name] = true
			continue
		}
		to, err := newTarget(e, secrets[e.Name].Secrets)
		if err != nil {
			p.config.Logger.LogAttrs(ctx, slog.LevelWarn, "read endpoints", slog.Any("err", err))
			continue
		}
		there[e.Name] = true
		l := current[e.Name]
		switch {
		case l == nil:
			current[e.Name] = p.start(life, e, to)
		case !sameShape(l.endpoint, e):
			l.stop()
			current[e.Name] = p.start(life, e, to)
		case !l.to.Load().updatedAt.Equal(e.UpdatedAt):
			l.renew(to)
		}
	}
	for name, l := range current {
		if !there[name] {
			l.stop()
			delete(current, name)
		}
	}
	return nil
}

// start has a line deliver.
func (p *Pusher) start(life context.Context, e scheduler.Endpoint, to *target) *line {
	l := p.newLine(e, to)
	intake, stop := context.WithCancel(life)
	l.stop = stop
	p.mu.Lock()
	p.lines[l] = true
	p.mu.Unlock()
	go func() { // ends after stop; drain waits for it
		l.run(intake, life)
		stop()
		p.mu.Lock()
		delete(p.lines, l)
		p.mu.Unlock()
	}()
	return l
}

// sameShape reports whether the same worker can go on.
func sameShape(a, b scheduler.Endpoint) bool {
	return a.Concurrency == b.Concurrency && slices.Equal(a.Queues, b.Queues) && slices.Equal(a.Kinds, b.Kinds)
}

func newTarget(e scheduler.Endpoint, secrets []string) (*target, error) {
	to := &target{name: e.Name, url: e.URL, timeout: time.Duration(e.TimeoutMS) * time.Millisecond,
		completeWithin: time.Duration(e.CompleteWithinMS) * time.Millisecond, updatedAt: e.UpdatedAt}
	for _, secret := range secrets {
		key, err := scheduler.SecretKey(secret)
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", e.Name, err)
		}
		to.keys = append(to.keys, key)
	}
	if to.keys == nil {
		return nil, fmt.Errorf("endpoint %s has no secrets", e.Name)
	}
	return to, nil
}
