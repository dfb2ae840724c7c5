package scheduler

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Position is a place in the order of all messages, which is the same for all who follow, in any process. The zero value is
// before the oldest message that is kept.
type Position struct{ Tick, Message int64 }

// String is 12.345, or 0 for the zero value.
func (p Position) String() string {
	if p == (Position{}) {
		return "0"
	}
	return strconv.FormatInt(p.Tick, 10) + "." + strconv.FormatInt(p.Message, 10)
}

// ParsePosition reads what String writes. It returns an *InvalidError otherwise.
func ParsePosition(text string) (p Position, err error) {
	tick, message, dotted := strings.Cut(text, ".")
	if dotted {
		p.Tick, err = strconv.ParseInt(tick, 10, 64)
		if err == nil {
			p.Message, err = strconv.ParseInt(message, 10, 64)
		}
	} else if text != "0" {
		err = strconv.ErrSyntax
	}
	if err != nil || p.Tick < 0 || p.Message < 0 {
		return Position{}, invalid("after", "the id of an event of a topic, such as 12.345, or 0 for all that is kept")
	}
	return p, nil
}

func (p Position) before(other Position) bool {
	return p.Tick < other.Tick || p.Tick == other.Tick && p.Message < other.Message
}

// Message is a message as those get it who follow its topic. It is shared: never change it.
type Message struct {
	ID          int64
	Topic       string
	Payload     json.RawMessage
	PublishedAt time.Time
	At          Position

	words []string // of the topic
	once  sync.Once
	frame []byte
}

// Frame returns what make makes of the message, made once: what many are sent is encoded once. Safe for concurrent use.
func (m *Message) Frame(make func(*Message) []byte) []byte {
	m.once.Do(func() { m.frame = make(m) })
	return m.frame
}

// StoredMessage is a row of scheduler.messages.
type StoredMessage struct {
	ID          int64           `db:"id"`
	Topic       string          `db:"topic"`
	Payload     json.RawMessage `db:"payload"`
	PublishedAt time.Time       `db:"published_at"`
	Tasks       int             `db:"tasks"` // subscriptions that matched
}

// Messages returns the newest messages, 1 to 1000, newest first.
func (c *Client) Messages(ctx context.Context, limit int) ([]StoredMessage, error) {
	if limit < 1 || limit > 1000 {
		return nil, invalid("limit", "1 to 1000")
	}
	return all[StoredMessage](ctx, c.reads, "list messages", sql.Messages, pgx.StrictNamedArgs{"limit": limit})
}

// messageBounds are the ticks that there are. The messages of the oldest can't be read: that takes the tick before.
type messageBounds struct{ Oldest, Newest int64 }

// readMessage is a row of messages_read.sql.
type readMessage struct {
	Tick, ID    int64
	Topic       string
	Payload     json.RawMessage
	PublishedAt time.Time
}

const (
	messagePage  = 200 // messages that one statement reads
	messageTicks = 500 // ticks that it looks at
	messageEvery = 10 * time.Second
)

// readMessages reads a page after a position, and the position behind it; end: there was nothing more. It returns
// ErrCursorExpired when messages are missing, and where the oldest is.
func (c *Client) readMessages(ctx context.Context, from Position) (page []*Message, next Position, end bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var before, after messageBounds
	var batch pgx.Batch
	last := from.Tick + messageTicks - 1
	queueBounds(&batch, &before)
	batch.Queue(sql.MessagesRead, from.Tick, from.Message, last, messagePage).Query(func(rows pgx.Rows) error {
		var row readMessage
		_, err := pgx.ForEachRow(rows, []any{&row.Tick, &row.ID, &row.Topic, &row.Payload, &row.PublishedAt}, func() error {
			if row.Tick <= before.Newest { // else it is left for the next page, with all of its tick
				page = append(page, &Message{ID: row.ID, Topic: row.Topic, Payload: row.Payload, PublishedAt: row.PublishedAt,
					At: Position{row.Tick, row.ID}, words: newPattern(row.Topic)})
			}
			row.Payload = nil
			return nil
		})
		return err
	})
	queueBounds(&batch, &after) // what is not pruned now was there when the messages were read
	if err := c.reads.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, from, false, err
	}
	last = min(last, before.Newest)
	switch {
	case from == Position{}:
		return nil, Position{Tick: after.Oldest + 1}, false, nil
	case from.Tick <= after.Oldest || from.Tick > before.Newest+1:
		return nil, Position{Tick: after.Oldest + 1}, false, ErrCursorExpired
	case len(page) == messagePage:
		return page, page[len(page)-1].At, false, nil
	case last < from.Tick: // the position is behind the newest tick
		return nil, from, true, nil
	}
	return page, Position{Tick: last + 1}, last == before.Newest, nil
}

func queueBounds(batch *pgx.Batch, bounds *messageBounds) {
	batch.Queue(sql.MessagesBounds).QueryRow(func(row pgx.Row) error { return row.Scan(&bounds.Oldest, &bounds.Newest) })
}

// tick is the answer of messages_tick.sql.
type tick struct {
	Newest       int64
	Wanted, Made bool
}

// tickMessages gives all messages that are there a place in the order. When another process is at the same, it looks again:
// what that one saw may be less.
func (c *Client) tickMessages(ctx context.Context) error {
	for {
		made, err := one[tick](ctx, c.pool, "order messages", sql.MessagesTick, pgx.StrictNamedArgs{})
		if err != nil || made.Made || !made.Wanted {
			return err
		}
	}
}

// askMessages keeps the order of messages going when nobody follows, and removes old ones.
func (c *Client) askMessages(batch *pgx.Batch) func(context.Context) (time.Duration, error) {
	type pruned struct{ Messages, Ticks, Keys int }
	var gone pruned
	batch.Queue(sql.MessagesTick)
	batch.Queue(sql.MessagesPrune, c.config.MessageRetention.Milliseconds(), maintainBatch).QueryRow(func(row pgx.Row) error {
		return row.Scan(&gone.Messages, &gone.Ticks, &gone.Keys)
	})
	return func(context.Context) (time.Duration, error) {
		if max(gone.Messages, gone.Ticks, gone.Keys) >= maintainBatch {
			return 0, nil
		}
		return messageEvery, nil
	}
}
