package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgscheduler/scheduler/sql"
)

// ChannelMessage tells that messages were published. Only a hint: who follows also looks from time to time.
const ChannelMessage = "scheduler_message"

// NewMessage is what is published. Only Topic is needed.
type NewMessage struct {
	Topic          string // words with dots between them: letters, digits and _ : -; at most 255 bytes
	Payload        any    // JSON of at most MaxPayload bytes; json.RawMessage goes as it is; nil: {}
	IdempotencyKey string // up to 255 bytes, of the topic; the same request again publishes nothing, another one is refused
	TraceParent    string // W3C traceparent for the tasks; "": that of the OpenTelemetry span in the context, if any
}

// Published is a message as it was stored, or found.
type Published struct {
	ID          int64
	PublishedAt time.Time
	Tasks       []PublishedTask // by subscription; empty when none matches
	Replayed    bool            // found by its idempotency key: the same request came before
}

// PublishedTask is the task that a subscription got.
type PublishedTask struct {
	ID           TaskID `json:"id"`
	Subscription string `json:"subscription"`
	Queue        Queue  `json:"queue"`
	Kind         string `json:"kind"`
}

// published is a row of publish.sql.
type published struct {
	ID          int64
	PublishedAt time.Time
	Tasks       json.RawMessage
	Replayed    bool
}

// Publish stores a message and, in the same transaction, one task for each subscription whose pattern matches its topic. It
// returns once all that is durable. Errors: *InvalidError, *KeyReusedError, or the database's, after which the message may or
// may not be published; with an IdempotencyKey it is safe to call again.
func (c *Client) Publish(ctx context.Context, m NewMessage) (Published, error) {
	p, err := publish(ctx, c.hot, m)
	switch {
	case err != nil:
		return p, err
	case p.Replayed:
		c.counters.publishedAgain.Add(1)
		return p, nil
	}
	c.counters.published.Add(1)
	c.counters.publishMade.Add(uint64(len(p.Tasks)))
	for _, queue := range p.queues() {
		c.announceReady(Queue(queue))
	}
	c.ear.tell(ChannelMessage, "")
	c.hints.hintMessages()
	return p, nil
}

// PublishTx is Publish within the caller's transaction: message and tasks exist if and when that commits. After a database
// error or *KeyReusedError the transaction can only be rolled back, or rolled back to a savepoint.
func (c *Client) PublishTx(ctx context.Context, tx pgx.Tx, m NewMessage) (Published, error) {
	p, err := publish(ctx, tx, m)
	if err != nil || p.Replayed {
		return p, err
	}
	// Inside the transaction: PostgreSQL sends these when it commits, once each.
	var batch pgx.Batch
	if queues := p.queues(); len(queues) > 0 {
		batch.Queue(sql.Notify, ChannelReady, queues)
	}
	batch.Queue(sql.Notify, ChannelMessage, []string{""})
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return Published{}, fmt.Errorf("publish: %w", err)
	}
	return p, nil
}

// publish checks the fields; scheduler.fan_out holds the same rules for SQL.
func publish(ctx context.Context, db querier, m NewMessage) (Published, error) {
	var bad []FieldError
	check := func(ok bool, field, rule string) {
		if !ok {
			bad = append(bad, FieldError{field, rule})
		}
	}
	payload, err := encode(m.Payload, "{}")
	if err == nil {
		err = CheckJSON(payload)
	}
	check(ValidTopic(m.Topic), "topic", topicRule)
	if err != nil {
		check(false, "payload", err.Error())
	}
	check(keyFits(m.IdempotencyKey), "idempotency_key", "1 to 255 bytes of UTF-8 without NUL")
	if m.TraceParent == "" {
		m.TraceParent = TraceParent(ctx)
	}
	check(m.TraceParent == "" || ValidTraceParent(m.TraceParent), "trace_parent", "a W3C traceparent, as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if bad != nil {
		return Published{}, &InvalidError{Fields: bad}
	}
	rows, err := db.Query(ctx, sql.Publish, pgx.StrictNamedArgs{"topic": m.Topic, "payload": string(payload),
		"idempotency_key": null(m.IdempotencyKey), "trace": null(m.TraceParent)})
	if err != nil {
		return Published{}, fmt.Errorf("publish: %w", err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[published])
	if err != nil {
		return Published{}, refusedMessage(err, m)
	}
	p := Published{ID: row.ID, PublishedAt: row.PublishedAt, Replayed: row.Replayed}
	if err := json.Unmarshal(row.Tasks, &p.Tasks); err != nil {
		return Published{}, fmt.Errorf("publish: %w", err)
	}
	return p, nil
}

// refusedMessage turns what fan_out refuses into errors of this package.
func refusedMessage(err error, m NewMessage) error {
	var pg *pgconn.PgError
	switch errors.As(err, &pg); {
	case violates(err, "message_keys_pkey"):
		id, _ := strconv.ParseInt(pg.Detail, 10, 64)
		return &KeyReusedError{Key: m.IdempotencyKey, Message: id}
	case pg != nil && pg.Code == "54000":
		return invalid("topic", "one that at most 10000 subscriptions match")
	case pg != nil && pg.Code == "22023" && pg.ColumnName != "":
		return invalid(pg.ColumnName, pg.Detail)
	}
	return fmt.Errorf("publish: %w", err)
}

// queues are those that got tasks.
func (p *Published) queues() []string {
	var list []string
	for _, task := range p.Tasks {
		if !slices.Contains(list, string(task.Queue)) {
			list = append(list, string(task.Queue))
		}
	}
	return list
}
