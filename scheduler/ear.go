package scheduler

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	pingEvery  = 20 * time.Second // a listening connection is tried this often
	pingWithin = 5 * time.Second
)

// Listen waits for notifications and calls on with each until ctx ends; it then returns nil. What this client announces
// itself comes without a detour through the database. on is called from several goroutines, once at a time, and must neither
// block nor call Listen or Hearing. As soon as this is listened to, and when the connection is lost, it is called with "", "":
// anything may have happened, look at everything. All who listen share one connection, which is there while anybody does. When
// it is lost, refused or silent, it is made anew, with backoff and jitter; that is logged once. With Config.PollOnly it only
// waits for what this client announces. Maintain of this process hears by itself what comes on ChannelDue while anybody listens
// to that. The error is that the client is closed.
func (c *Client) Listen(ctx context.Context, channels []string, on func(channel, payload string)) error {
	l := &listener{channels: channels, on: on}
	c.ear.add(l)
	defer c.ear.remove(l)
	select {
	case <-ctx.Done():
		return nil
	case <-c.ear.life.Done():
		return errClosed
	}
}

// Hearing reports whether this process is told what others announce: it listens on ChannelDue, and the connection stands.
// What is announced then need not be polled for.
func (c *Client) Hearing() bool { return c.ear.hears(ChannelDue) }

// ear is the connection that listens, for all who do: there is one while anybody does. Safe for concurrent use.
type ear struct {
	client  *Client
	life    context.Context // until close
	shut    context.CancelFunc
	down    bool // run's: it is logged that the connection is lost
	flights sync.WaitGroup

	mu      sync.Mutex
	list    []*listener
	running bool
	tune    context.CancelFunc // has the connection listen to what list wants by now; nil: there was none yet
}

// listener is one who listens.
type listener struct {
	channels []string
	on       func(channel, payload string)
	hearing  bool // of ear.mu: the connection stands, and listens to these channels
}

func (e *ear) open(c *Client) {
	e.client = c
	e.life, e.shut = context.WithCancel(context.Background()) // it serves many, none of whom owns it
}

// close ends the connection, and Listen with it.
func (e *ear) close() {
	e.mu.Lock()
	e.shut()
	e.mu.Unlock()
	e.flights.Wait()
}

func (e *ear) add(l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, l)
	switch {
	case e.client.config.PollOnly || e.life.Err() != nil:
	case !e.running:
		e.running = true
		e.flights.Go(e.run) // ends when nobody listens, or with the client; close waits for it
	case e.tune != nil:
		e.tune()
	}
}

// remove has l told of nothing more. What nobody else listens to is heard a little longer, in case that somebody comes back.
func (e *ear) remove(l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = slices.DeleteFunc(e.list, func(other *listener) bool { return other == l })
	if len(e.list) == 0 && e.tune != nil {
		e.tune()
	}
}

// run keeps a connection while anybody listens.
func (e *ear) run() {
	const first, most = 100 * time.Millisecond, 2 * time.Second
	for wait := first; e.wanted(); wait = min(2*wait, most) {
		stood, err := e.connect()
		e.lose()
		if stood {
			wait = first
		}
		if err == nil || e.life.Err() != nil {
			continue
		}
		if !e.down {
			e.client.config.Logger.LogAttrs(e.life, slog.LevelWarn, "listen: connection lost, polling until it is back", slog.Any("err", err))
			e.down = true
		}
		select {
		case <-e.life.Done():
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// wanted reports whether anybody listens; if not, run must end.
func (e *ear) wanted() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running = len(e.list) > 0 && e.life.Err() == nil
	return e.running
}

// connect listens on one connection until it fails, or with no error until nobody listens.
func (e *ear) connect() (stood bool, err error) {
	within, cancel := context.WithTimeout(e.life, cmp.Or(e.client.config.answer, pingWithin))
	defer cancel()
	conn, err := pgx.ConnectConfig(within, e.client.listen)
	if err != nil {
		return false, err
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(e.life), time.Second)
		defer cancel()
		_ = conn.Close(bye) // it is gone either way
	}()
	var tuned []string
	for {
		silent, err := e.attune(conn, &tuned)
		if silent == nil {
			return stood, err
		}
		stood = true
		for err == nil {
			var n *pgconn.Notification
			if n, err = conn.WaitForNotification(silent); err == nil {
				e.hear(n)
			}
		}
		if silent.Err() == nil || conn.IsClosed() {
			return true, err
		}
	}
}

// attune has the connection listen to what is wanted by now, which also shows whether it still answers, and tells those who
// are heard from here on. silent ends when it is time for that again; nil: an error, or nobody listens.
func (e *ear) attune(conn *pgx.Conn, tuned *[]string) (silent context.Context, err error) {
	e.mu.Lock()
	list := slices.Clone(e.list)
	silent, e.tune = context.WithTimeout(e.life, cmp.Or(e.client.config.ping, pingEvery))
	e.mu.Unlock()
	if len(list) == 0 {
		return nil, nil
	}
	within, cancel := context.WithTimeout(e.life, cmp.Or(e.client.config.answer, pingWithin))
	defer cancel()
	if _, err := conn.Exec(within, orders(list, tuned)); err != nil {
		return nil, err
	}
	if e.down {
		e.client.config.Logger.LogAttrs(e.life, slog.LevelInfo, "listen: connection is back")
		e.down = false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.list {
		if !l.hearing && slices.Contains(list, l) {
			l.hearing = true
			l.on("", "")
		}
	}
	return silent, nil
}

// orders are the statements by which a connection that listens to tuned listens to what the list wants. Those are repeated that it
// listens to already: the last statement of a connection shows what it is for.
func orders(list []*listener, tuned *[]string) string {
	var wanted, statements []string
	for _, l := range list {
		wanted = append(wanted, l.channels...)
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	for _, channel := range wanted {
		statements = append(statements, "listen "+pgx.Identifier{channel}.Sanitize())
	}
	for _, channel := range *tuned {
		if !slices.Contains(wanted, channel) {
			statements = append(statements, "unlisten "+pgx.Identifier{channel}.Sanitize())
		}
	}
	*tuned = wanted
	return strings.Join(statements, "; ")
}

// hear passes on a notification, unless it is this process's own, and known by now.
func (e *ear) hear(n *pgconn.Notification) {
	if n.PID == e.client.hints.pid.Load() {
		if took, ok := e.client.counters.echo.hear(time.Now()); ok {
			e.client.counters.notifyLag.Observe(int64(took))
		}
		return
	}
	if ms, err := strconv.ParseInt(n.Payload, 10, 64); n.Channel == ChannelDue && err == nil {
		e.client.dueIn(time.Duration(ms) * time.Millisecond)
	}
	e.tell(n.Channel, n.Payload)
}

// lose tells those who heard of the connection's end, unless that was wanted.
func (e *ear) lose() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.list {
		if l.hearing && e.life.Err() == nil {
			l.on("", "")
			e.client.dueIn(lookNow)
		}
		l.hearing = false
	}
}

// tell passes on what this process knows, and reports whether there was anybody to hear it.
func (e *ear) tell(channel, payload string) (told bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.list {
		if slices.Contains(l.channels, channel) {
			l.on(channel, payload)
			told = true
		}
	}
	return told
}

// hears reports whether this process listens on the channel, and the connection stands.
func (e *ear) hears(channel string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	hearing := false
	for _, l := range e.list {
		if slices.Contains(l.channels, channel) {
			if !l.hearing {
				return false
			}
			hearing = true
		}
	}
	return hearing
}
