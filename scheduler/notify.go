package scheduler

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

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
	hintWithin = 5 * time.Second
)

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
	ctx, cancel := context.WithTimeout(context.Background(), hintWithin) // the caller of Submit does not wait for this
	defer cancel()
	err := c.mouth.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		c.hints.pid.Store(conn.Conn().PgConn().PID())
		if c.ear.hears(channel) {
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
