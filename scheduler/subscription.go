package scheduler

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// Subscription is a row of scheduler.subscriptions: a task is made of each message whose topic matches.
type Subscription struct {
	Name        string    `db:"name"`
	Pattern     string    `db:"pattern"`
	Kind        string    `db:"kind"`
	Queue       Queue     `db:"queue"`
	Priority    int       `db:"priority"`
	MaxAttempts int       `db:"max_attempts"`
	TimeoutMS   *int64    `db:"timeout_ms"`
	BackoffMS   []int64   `db:"backoff_ms"`
	CreatedAt   time.Time `db:"created_at"`
	UpdatedAt   time.Time `db:"updated_at"`
}

// NewSubscription is what SetSubscription stores. Name, Pattern and Kind are needed; the other fields are those of NewTask.
type NewSubscription struct {
	Name    string // 1 to 128 letters, digits and _ . : / -
	Pattern string // words with dots between them; * for any one word, # for any number of words; at most 255 bytes
	Kind    string
	Queue   Queue

	Priority    int
	MaxAttempts int
	Timeout     time.Duration
	Backoff     []time.Duration
}

// SetSubscription makes a subscription or replaces the one of that name: messages published from then on are matched by it.
// It returns *InvalidError.
func (c *Client) SetSubscription(ctx context.Context, s NewSubscription) (Subscription, error) {
	task := NewTask{Kind: s.Kind, Queue: s.Queue, Priority: s.Priority, MaxAttempts: s.MaxAttempts, Timeout: s.Timeout, Backoff: s.Backoff}
	row, bad := task.prepare()
	if !namePattern.MatchString(s.Name) {
		bad = append(bad, FieldError{"name", "1 to 128 letters, digits and _ . : / -, not starting with punctuation"})
	}
	if !ValidPattern(s.Pattern) {
		bad = append(bad, FieldError{"pattern", patternRule})
	}
	if bad != nil {
		return Subscription{}, &InvalidError{Fields: bad}
	}
	var backoff []int64
	for _, d := range s.Backoff {
		backoff = append(backoff, d.Milliseconds())
	}
	return one[Subscription](ctx, c.pool, "set subscription", sql.SubscriptionSet, by(ctx, pgx.StrictNamedArgs{"name": s.Name, "pattern": s.Pattern,
		"kind": row.kind, "queue": row.queue, "priority": row.priority, "max_attempts": row.maxAttempts, "timeout_ms": row.timeoutMS, "backoff_ms": backoff}))
}

// SubscriptionFilter chooses subscriptions. The zero value chooses the first 100.
type SubscriptionFilter struct {
	Topic string // only those that match it; "": all
	After string // names after this one, the last of the page before; "": from the first
	Limit int    // 1 to 1000; 0: 100
}

// Subscriptions returns a page of subscriptions by name. It returns *InvalidError.
func (c *Client) Subscriptions(ctx context.Context, f SubscriptionFilter) ([]Subscription, error) {
	if f.Limit == 0 {
		f.Limit = 100
	}
	switch {
	case f.Limit < 1 || f.Limit > 1000:
		return nil, invalid("limit", "1 to 1000")
	case f.Topic != "" && !ValidTopic(f.Topic):
		return nil, invalid("topic", topicRule)
	case !storable(f.After):
		return nil, invalid("after", "the name of a subscription")
	}
	return all[Subscription](ctx, c.reads, "list subscriptions", sql.Subscriptions,
		pgx.StrictNamedArgs{"name": nil, "topic": null(f.Topic), "after": null(f.After), "limit": f.Limit})
}

// Subscription returns one subscription, or ErrNotFound.
func (c *Client) Subscription(ctx context.Context, name string) (Subscription, error) {
	return named[Subscription](ctx, c.reads, "read subscription", sql.Subscriptions, name, pgx.StrictNamedArgs{"topic": nil, "after": nil, "limit": 1})
}

// DeleteSubscription removes a subscription; tasks that were made for it stay. ErrNotFound: there is none of that name.
func (c *Client) DeleteSubscription(ctx context.Context, name string) error {
	type row struct{ Name string }
	_, err := named[row](ctx, c.pool, "delete subscription", sql.SubscriptionDelete, name, by(ctx, pgx.StrictNamedArgs{}))
	return err
}
