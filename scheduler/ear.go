package scheduler

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
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
// waits for what this client announces. The error is that the client is closed.
func (c *Client) Listen(ctx context.Context, channels []string, on func(channel, payload string)) error {
	l := &listener{channels: channels, on: on}
	if err := c.ear.add(l); err != nil {
		return err
	}
	defer c.ear.remove(l)
	select {
	case <-ctx.Done():
		return nil
	case <-c.ear.closing:
		return errClosed
	}
}

// Hearing reports whether this process is told what others announce: it listens on ChannelDue, and the connection stands.
// What is announced then need not be polled for.
func (c *Client) Hearing() bool { return c.ear.hears(ChannelDue) }

// ear is the connection that listens, for all who do: there is one while anybody does. Safe for concurrent use.
type ear struct {
	client  *Client
	closing chan struct{} // closed by close
	down    bool          // run's: it is logged that the connection is lost

	mu     sync.Mutex
	list   []*listener
	closed bool
	end    context.CancelFunc // ends the connection
	tune   context.CancelFunc // has it listen to what list wants by now
	ended  chan struct{}      // closed when there is no connection any more
}

// listener is one who listens.
type listener struct {
	channels []string
	on       func(channel, payload string)
	hearing  bool // of ear.mu: the connection stands, and listens to these channels
}

func (e *ear) open(c *Client) {
	e.client, e.closing, e.ended = c, make(chan struct{}), make(chan struct{})
	e.end, e.tune = func() {}, func() {}
	close(e.ended)
}

// close ends the connection, and Listen with it.
func (e *ear) close() {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.closing)
	}
	e.end()
	ended := e.ended
	e.mu.Unlock()
	<-ended
}

func (e *ear) add(l *listener) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	e.list = append(e.list, l)
	switch {
	case e.client.config.PollOnly:
	case len(e.list) == 1:
		e.start()
	default:
		e.tune()
	}
	return nil
}

// remove returns when l is not told of anything any more, and the connection is closed if it was the last. What nobody listens to is
// heard a little longer, in case that somebody comes back.
func (e *ear) remove(l *listener) {
	e.mu.Lock()
	e.list = slices.DeleteFunc(e.list, func(other *listener) bool { return other == l })
	if len(e.list) > 0 {
		e.mu.Unlock()
		return
	}
	e.end()
	ended := e.ended
	e.mu.Unlock()
	<-ended
}

// start makes the connection, once the one before is closed. e.mu is held.
func (e *ear) start() {
	ctx, end := context.WithCancel(context.Background()) // it serves many, none of whom owns it
	before, ended := e.ended, make(chan struct{})
	e.end, e.ended = end, ended
	go func() { // ends with ctx; whoever ends that waits
		defer close(ended)
		<-before
		e.run(ctx)
	}()
}

// run keeps a connection until ctx ends.
func (e *ear) run(ctx context.Context) {
	const first, most = 100 * time.Millisecond, 2 * time.Second
	wait := first
	for {
		stood, err := e.connect(ctx)
		e.lose(ctx)
		if ctx.Err() != nil {
			return
		}
		if !e.down {
			e.client.config.Logger.LogAttrs(ctx, slog.LevelWarn, "listen: connection lost, polling until it is back", slog.Any("err", err))
			e.down = true
		}
		if stood {
			wait = first
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, most)
	}
}

// connect listens on one connection until it fails or ctx ends.
func (e *ear) connect(ctx context.Context) (stood bool, err error) {
	within, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	conn, err := pgx.ConnectConfig(within, e.client.listen)
	if err != nil {
		return false, err
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(bye) // it is gone either way
	}()
	var tuned []string
	for {
		silent, err := e.attune(ctx, conn, &tuned)
		if err != nil {
			return stood, err
		}
		stood = true
		for err == nil {
			var n *pgconn.Notification
			if n, err = conn.WaitForNotification(silent); err == nil {
				e.hear(n)
			}
		}
		if ctx.Err() != nil || silent.Err() == nil || conn.IsClosed() {
			return true, err
		}
	}
}

// attune has the connection listen to what is wanted by now, which also shows whether it still answers, and tells those who
// are heard from here on. silent ends when it is time for that again.
func (e *ear) attune(ctx context.Context, conn *pgx.Conn, tuned *[]string) (silent context.Context, err error) {
	e.mu.Lock()
	silent, e.tune = context.WithTimeout(ctx, pingEvery)
	list := slices.Clone(e.list)
	e.mu.Unlock()
	within, cancel := context.WithTimeout(ctx, pingWithin)
	defer cancel()
	if _, err := conn.Exec(within, orders(list, tuned)); err != nil {
		return nil, err
	}
	if e.down {
		e.client.config.Logger.LogAttrs(ctx, slog.LevelInfo, "listen: connection is back")
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
	if n.PID != e.client.hints.pid.Load() {
		e.tell(n.Channel, n.Payload)
	} else if took, ok := e.client.counters.echo.hear(time.Now()); ok {
		e.client.counters.notifyLag.Observe(int64(took))
	}
}

// lose tells those who were heard of the connection's end, unless that was wanted.
func (e *ear) lose(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.list {
		if l.hearing && ctx.Err() == nil {
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
