package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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
	hintLag    = 2 * time.Millisecond // before the first, when this process has a worker of its own that was told, and is at it
	pingEvery  = 20 * time.Second     // a silent listening connection is tried this often
	pingWithin = 5 * time.Second
)

// Listen waits for notifications and calls on with each until ctx ends; it then returns nil. What this client announces
// itself comes without a detour through the database. on is called from several goroutines and must neither block nor call
// Listen or Hearing. After each connect, and when the connection is lost, it is called with "", "": anything may have happened, look
// at everything. A connection that is lost, refused or silent to a ping is made anew, with backoff and jitter; that is logged
// once. With Config.PollOnly it only waits for what this client announces.
func (c *Client) Listen(ctx context.Context, channels []string, on func(channel, payload string)) error {
	e := c.ears.add(channels, on)
	defer c.ears.remove(e)
	if c.config.PollOnly {
		<-ctx.Done()
		return nil
	}
	const first, most = 100 * time.Millisecond, 2 * time.Second
	wait, down := first, false
	for {
		started, err := c.listenOnce(ctx, e, &down)
		if c.ears.hears(e, false) && ctx.Err() == nil {
			on("", "")
			c.dueIn(lookNow)
		}
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
func (c *Client) listenOnce(ctx context.Context, e *ear, down *bool) (started bool, err error) {
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
	for _, channel := range e.channels {
		if _, err := conn.Exec(connect, "listen "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return false, err
		}
	}
	if *down {
		c.config.Logger.LogAttrs(ctx, slog.LevelInfo, "listen: connection is back")
		*down = false
	}
	c.ears.hears(e, true)
	e.on("", "")
	for {
		silent, cancel := context.WithTimeout(ctx, cmp.Or(c.config.ping, pingEvery))
		n, err := conn.WaitForNotification(silent)
		cancel()
		switch {
		case err == nil && n.PID != c.hints.pid.Load(): // else it is known by now
			e.on(n.Channel, n.Payload)
		case err == nil:
			if took, ok := c.counters.echo.hear(time.Now()); ok {
				c.counters.notifyLag.Observe(int64(took))
			}
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

// ears are those of this process who want to be told. Safe for concurrent use.
type ears struct {
	mu   sync.Mutex
	list []*ear
}

type ear struct {
	channels []string
	on       func(channel, payload string)
	hearing  bool // is connected
}

func (e *ears) add(channels []string, on func(channel, payload string)) *ear {
	e.mu.Lock()
	defer e.mu.Unlock()
	its := &ear{channels: channels, on: on}
	e.list = append(e.list, its)
	return its
}

func (e *ears) remove(its *ear) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = slices.DeleteFunc(e.list, func(other *ear) bool { return other == its })
}

// hears notes whether its connection stands, and reports whether it did before.
func (e *ears) hears(its *ear, now bool) (before bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before, its.hearing = its.hearing, now
	return before
}

// tell passes on what this process knows by itself, and reports whether there was anybody to hear it.
func (e *ears) tell(channel, payload string) (told bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, its := range e.list {
		if slices.Contains(its.channels, channel) {
			its.on(channel, payload)
			told = true
		}
	}
	return told
}

// Hearing reports whether this process is told what others announce: it listens on ChannelDue, and none of the connections
// that do so is down. What is announced then need not be polled for.
func (c *Client) Hearing() bool { return c.hears(ChannelDue) }

// hears reports whether this process listens on the channel, and none of the connections that do so is down.
func (c *Client) hears(channel string) bool {
	c.ears.mu.Lock()
	defer c.ears.mu.Unlock()
	hearing := false
	for _, e := range c.ears.list {
		if slices.Contains(e.channels, channel) {
			if !e.hearing {
				return false
			}
			hearing = true
		}
	}
	return hearing
}

// hinter coalesces notifications: the first goes at once, further ones for the same queue at most every hintEvery.
type hinter struct {
	send    func(channel string, payloads []string)
	pid     atomic.Uint32 // of the connection that sends
	mu      sync.Mutex
	queues  map[string]bool // that got ready tasks
	due     time.Duration   // 1 ns more than until something is due; 0: nothing
	message bool            // something was published
	flying  bool
	closed  bool
	flights sync.WaitGroup
}

// hint asks for a notification about the queue, not before lag when nothing else is to be sent. It never waits for the database.
func (h *hinter) hint(queue Queue, lag time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.queues == nil {
		h.queues = map[string]bool{}
	}
	h.queues[string(queue)] = true
	h.start(lag)
}

// hintDue asks for a notification that something is due in d. Who hears it looks for itself what is due next, so that one
// of several is enough.
func (h *hinter) hintDue(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d++; h.due == 0 || d < h.due {
		h.due = d
	}
	h.start(0)
}

// hintMessages asks for a notification that something was published.
func (h *hinter) hintMessages() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.message = true
	h.start(0)
}

func (h *hinter) start(lag time.Duration) {
	if !h.flying && !h.closed {
		h.flying = true
		h.flights.Go(func() { time.Sleep(lag); h.fly() }) // ends when nothing is pending; close waits for it
	}
}

func (h *hinter) fly() {
	for {
		h.mu.Lock()
		queues, due, message := slices.Collect(maps.Keys(h.queues)), h.due, h.message
		clear(h.queues)
		h.due, h.message = 0, false
		h.flying = len(queues) > 0 || due != 0 || message
		again := h.flying
		h.mu.Unlock()
		if !again {
			return
		}
		if len(queues) > 0 {
			h.send(ChannelReady, queues)
		}
		if due != 0 {
			h.send(ChannelDue, []string{strconv.FormatInt(due.Milliseconds()+1, 10)})
		}
		if message {
			h.send(ChannelMessage, []string{""})
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
	err := c.mouth.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		c.hints.pid.Store(conn.Conn().PgConn().PID())
		if c.hears(channel) {
			c.counters.echo.call(time.Now())
		}
		_, err := conn.Exec(ctx, sql.Notify, channel, payloads)
		return err
	})
	if err != nil {
		c.config.Logger.LogAttrs(ctx, slog.LevelDebug, "notify", slog.Any("err", err))
	}
}

// dueIn tells Maintain of this process that something is due in d, or with lookNow that anything may be. Never blocks.
func (c *Client) dueIn(d time.Duration) { c.due.tell(time.Now().Add(max(0, d)), d == lookNow) }

// soon is the soonest of what was told. Safe for concurrent use.
type soon struct {
	mu   sync.Mutex
	at   time.Time // zero: nothing was told
	all  bool      // anything may be due
	told chan struct{}
}

func (s *soon) tell(at time.Time, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() || at.Before(s.at) {
		s.at = at
	}
	s.all = s.all || all
	select {
	case s.told <- struct{}{}:
	default: // it was woken, and has not looked yet
	}
}

// take returns what was told since it was last called.
func (s *soon) take() (at time.Time, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, all = s.at, s.all
	s.at, s.all = time.Time{}, false
	return at, all
}
