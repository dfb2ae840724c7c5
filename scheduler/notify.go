package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Channels of notifications. Each is only a hint: who listens also polls.
const (
	ChannelReady   = "scheduler_ready"   // payload: a queue that got ready tasks
	ChannelDue     = "scheduler_due"     // payload: milliseconds until something is due
	ChannelControl = "scheduler_control" // payload: a worker that should send a heartbeat now, or * for all
)

const (
	hintEvery  = 4 * time.Millisecond // at most one notification a queue and process in so long
	pingEvery  = 10 * time.Second     // a silent listening connection is tried this often
	pingWithin = 5 * time.Second
)

// Listen waits for notifications and calls on with each, from one goroutine, until ctx ends; it then returns nil. After
// each connect it calls on("", ""): anything may have happened meanwhile, look at everything. A connection that is lost,
// refused or silent to a ping is made anew, with backoff and jitter; that is logged once. With Config.PollOnly it only waits.
func (c *Client) Listen(ctx context.Context, channels []string, on func(channel, payload string)) error {
	if c.config.PollOnly {
		<-ctx.Done()
		return nil
	}
	const first, most = 100 * time.Millisecond, 2 * time.Second
	wait, down := first, false
	for {
		started, err := c.listenOnce(ctx, channels, on, &down)
		if ctx.Err() != nil {
			return nil
		}
		if !down {
			c.config.Logger.LogAttrs(ctx, slog.LevelWarn, "listen: connection lost, polling until it is back", slog.Any("err", err))
			down = true
		}
		if started {
			wait = first
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, most)
	}
}

// listenOnce listens on one connection until it fails or ctx ends.
func (c *Client) listenOnce(ctx context.Context, channels []string, on func(channel, payload string), down *bool) (started bool, err error) {
	connect, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	conn, err := pgx.ConnectConfig(connect, c.listen)
	if err != nil {
		return false, err
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(bye) // it is gone either way
	}()
	for _, channel := range channels {
		if _, err := conn.Exec(connect, "listen "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return false, err
		}
	}
	if *down {
		c.config.Logger.LogAttrs(ctx, slog.LevelInfo, "listen: connection is back")
		*down = false
	}
	on("", "")
	for {
		silent, cancel := context.WithTimeout(ctx, pingEvery)
		n, err := conn.WaitForNotification(silent)
		cancel()
		switch {
		case err == nil:
			on(n.Channel, n.Payload)
		case ctx.Err() != nil:
			return true, ctx.Err()
		case silent.Err() == nil || conn.IsClosed():
			return true, err
		default:
			ping, cancel := context.WithTimeout(ctx, pingWithin)
			err := conn.Ping(ping)
			cancel()
			if err != nil {
				return true, fmt.Errorf("ping: %w", err)
			}
		}
	}
}

// hinter coalesces notifications: the first goes at once, further ones for the same queue at most every hintEvery.
type hinter struct {
	send    func(channel string, payloads []string)
	mu      sync.Mutex
	queues  map[string]bool // that got ready tasks
	due     string          // milliseconds until something is due; "": nothing
	flying  bool
	closed  bool
	flights sync.WaitGroup
}

// hint asks for a notification about the queue. It never waits for the database.
func (h *hinter) hint(queue Queue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.queues == nil {
		h.queues = map[string]bool{}
	}
	h.queues[string(queue)] = true
	h.start()
}

// hintDue asks for a notification that something is due in so many milliseconds. Who hears it looks for itself what is due
// next, so that one of several is enough.
func (h *hinter) hintDue(ms string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.due == "" || len(ms) < len(h.due) || len(ms) == len(h.due) && ms < h.due {
		h.due = ms
	}
	h.start()
}

func (h *hinter) start() {
	if !h.flying && !h.closed {
		h.flying = true
		h.flights.Go(h.fly) // ends when nothing is pending; close waits for it
	}
}

func (h *hinter) fly() {
	for {
		h.mu.Lock()
		queues, due := slices.Collect(maps.Keys(h.queues)), h.due
		clear(h.queues)
		h.due = ""
		h.flying = len(queues) > 0 || due != ""
		again := h.flying
		h.mu.Unlock()
		if !again {
			return
		}
		if len(queues) > 0 {
			h.send(ChannelReady, queues)
		}
		if due != "" {
			h.send(ChannelDue, []string{due})
		}
		time.Sleep(hintEvery)
	}
}

// close sends what is pending, and nothing more after that.
func (h *hinter) close() {
	h.mu.Lock()
	h.closed = true // no flight starts from here on
	h.mu.Unlock()
	h.flights.Wait()
}

// notify sends hints. A failure costs a poll interval and nothing else.
func (c *Client) notify(channel string, payloads []string) {
	ctx, cancel := context.WithTimeout(context.Background(), pingWithin) // the caller of Submit does not wait for this
	defer cancel()
	if _, err := c.pool.Exec(ctx, sql.Notify, channel, payloads); err != nil {
		c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "notify", slog.Any("err", err))
	}
}

// dueIn tells Maintain of this process that something is due soon. Never blocks: when the channel is full it is awake anyway.
func (c *Client) dueIn(d time.Duration) {
	select {
	case c.due <- d:
	default:
	}
}
