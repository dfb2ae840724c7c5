package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/sql"
)

// NewTask is what is submitted. Only Kind is needed; the zero value of every other field is its default.
type NewTask struct {
	Kind    string // names the handler: 1 to 128 letters, digits and _ . : / \ -, not starting with punctuation
	Payload any    // what the handler is given: JSON of at most MaxPayload bytes; json.RawMessage goes as it is; nil: {}
	Queue   Queue  // 1 to 128 letters, digits and _ . -; "": DefaultQueue

	Priority int           // -32768 to 32767, lower first
	RunAt    time.Time     // not before; zero: now
	Delay    time.Duration // not before now + Delay, by the database's clock, in whole milliseconds; not together with RunAt

	MaxAttempts int             // failures until it is failed, 1 to 1000; 0: 10
	Timeout     time.Duration   // of one attempt, in whole milliseconds; 0: none
	ExpiresAt   time.Time       // cancelled when not started by then; zero: never
	Backoff     []time.Duration // wait after the first, second, … failure, the last repeats; nil: exponential with full jitter, 1 s to 1 h

	UniqueKey      string // up to 255 bytes; a task of the queue that is not final and has the key is returned instead
	IdempotencyKey string // up to 255 bytes; the same request again returns the same task, another one *KeyReusedError

	TraceParent string   // W3C traceparent of the trace that it belongs to; "": that of the OpenTelemetry span in the context, if any
	Tags        []string // up to 16 words to find it by, each 1 to 64 letters, digits and _ . - : / @ = +; order and repeats mean nothing
}

// Submitted is a task as it was stored, or found.
type Submitted struct {
	ID        TaskID
	Queue     Queue
	State     State // Ready or Scheduled when new
	RunAt     time.Time
	CreatedAt time.Time
	Replayed  bool // found by its idempotency key: the same request came before
	Existing  bool // found by its unique key: another task holds it

	TraceParent string // of a new task: NewTask's, or that of the span of its submit
}

var (
	firstTime = time.Unix(0, 0)
	lastTime  = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

const (
	maxDelay   = 100 * 365.25 * 24 * time.Hour
	maxTimeout = 365.25 * 24 * time.Hour
	maxBackoff = 100 // elements

	defaultAttempts = 10 // as the column's

	queueRule = "1 to 128 letters, digits and _ . -, not starting with punctuation"
)

// Submit stores a task and returns once it is durable: it then survives the death of any process. Submits that arrive
// together share a statement and a commit. Errors: *InvalidError, *KeyReusedError, or the database's, after which the task
// may or may not be stored; with an IdempotencyKey it is safe to call again.
func (c *Client) Submit(ctx context.Context, task NewTask) (s Submitted, err error) {
	tasks, end := traced(ctx, []NewTask{task})
	defer func() { end(err) }()
	rows, err := prepare(tasks)
	if err != nil {
		return Submitted{}, err
	}
	s, err = c.submits.do(ctx, rows[0])
	return s, wrapSubmit(err)
}

// SubmitMany stores tasks in one transaction, all or none, and returns them in order. Errors as of Submit; fields are
// prefixed by the task's index.
func (c *Client) SubmitMany(ctx context.Context, tasks []NewTask) (list []Submitted, err error) {
	tasks, end := traced(ctx, tasks)
	defer func() { end(err) }()
	rows, err := prepare(tasks)
	if err != nil || len(rows) == 0 {
		return []Submitted{}, err
	}
	list = make([]Submitted, len(rows))
	if !slices.ContainsFunc(rows, func(r submission) bool { return r.keyed() }) {
		_, err = insert(ctx, c.hot, rows, list) // one commit without asking for it: nothing can be in the way
	} else {
		err = c.submitAll(ctx, rows, list)
	}
	if err != nil {
		return nil, wrapSubmit(err)
	}
	c.announce(list)
	return list, nil
}

// SubmitTx stores a task within the caller's transaction: it exists if and when that commits. Errors as of Submit; after a
// database error or *KeyReusedError the transaction can only be rolled back, or rolled back to a savepoint.
func (c *Client) SubmitTx(ctx context.Context, tx pgx.Tx, task NewTask) (Submitted, error) {
	list, err := c.SubmitManyTx(ctx, tx, []NewTask{task})
	if err != nil {
		return Submitted{}, err
	}
	return list[0], nil
}

// SubmitManyTx is SubmitTx for several tasks.
func (c *Client) SubmitManyTx(ctx context.Context, tx pgx.Tx, tasks []NewTask) (list []Submitted, err error) {
	tasks, end := traced(ctx, tasks)
	defer func() { end(err) }()
	rows, err := prepare(tasks)
	if err != nil || len(rows) == 0 {
		return []Submitted{}, err
	}
	list = make([]Submitted, len(rows))
	if err := submitWithin(ctx, tx, rows, list); err != nil {
		return nil, wrapSubmit(err)
	}
	// Inside the transaction: PostgreSQL sends these when it commits, once each.
	ready, due := hintsFor(list)
	if len(ready) > 0 {
		if _, err := tx.Exec(ctx, sql.Notify, ChannelReady, ready); err != nil {
			return nil, wrapSubmit(err)
		}
	}
	if due >= 0 {
		if _, err := tx.Exec(ctx, sql.Notify, ChannelDue, []string{strconv.FormatInt(due.Milliseconds()+1, 10)}); err != nil {
			return nil, wrapSubmit(err)
		}
	}
	return list, nil
}

func wrapSubmit(err error) error {
	var reused *KeyReusedError
	if err == nil || errors.As(err, &reused) {
		return err
	}
	return fmt.Errorf("submit: %w", err)
}

// announce tells of what was committed.
func (c *Client) announce(list []Submitted) {
	ready, due := hintsFor(list)
	for _, queue := range ready {
		c.announceReady(queue)
	}
	if due >= 0 {
		c.dueIn(due)
		c.hints.hintDue(due)
	}
}

// announceReady tells that the queue has got ready tasks, this process first.
func (c *Client) announceReady(queue Queue) {
	var lag time.Duration
	if c.ear.tell(ChannelReady, string(queue)) {
		lag = hintLag
	}
	c.hints.hint(queue, lag)
}

// hintsFor returns the queues that got ready tasks, and how long until the soonest scheduled one is due if a process may not
// look by itself before, else -1.
func hintsFor(list []Submitted) (ready []Queue, due time.Duration) {
	due = pollMost
	for _, s := range list {
		switch {
		case s.Replayed || s.Existing:
		case s.State == Ready:
			if !slices.Contains(ready, s.Queue) {
				ready = append(ready, s.Queue)
			}
		case s.State == Scheduled:
			due = min(due, max(0, s.RunAt.Sub(s.CreatedAt)))
		}
	}
	if due == pollMost {
		due = -1
	}
	return ready, due
}

// submission is a NewTask as the statements take it.
type submission struct {
	at             int // index in the caller's list
	id             TaskID
	queue          Queue
	kind           string
	payload        string
	priority       int16
	runAt          *time.Time
	delayMS        *int64
	maxAttempts    int16
	timeoutMS      *int64
	expiresAt      *time.Time
	uniqueKey      *string
	idempotencyKey *string
	backoffMS      *string // array literal
	trace          *string
	tags           *string // array literal
}

// keyed reports whether another task can be in the way.
func (r *submission) keyed() bool { return r.idempotencyKey != nil || r.uniqueKey != nil }

// lock names the keys, which another transaction may have and not have committed.
func (r submission) lock() string {
	if !r.keyed() {
		return ""
	}
	lock := string(r.queue)
	for _, key := range []*string{r.uniqueKey, r.idempotencyKey} {
		lock += "\x00"
		if key != nil {
			lock += "\x01" + *key
		}
	}
	return lock
}

// plain reports whether submit_plain.sql is enough.
func (r *submission) plain() bool {
	return !r.keyed() && r.runAt == nil && r.delayMS == nil && r.maxAttempts == defaultAttempts && r.timeoutMS == nil && r.expiresAt == nil &&
		r.backoffMS == nil && r.tags == nil && r.trace == nil
}

func prepare(tasks []NewTask) ([]submission, error) {
	rows := make([]submission, len(tasks))
	var bad []FieldError
	for i, task := range tasks {
		row, fields := task.prepare()
		row.at = i
		rows[i] = row
		for _, f := range fields {
			if len(tasks) > 1 {
				f.Field = strconv.Itoa(i) + "." + f.Field
			}
			if bad = append(bad, f); len(bad) == 20 {
				return nil, &InvalidError{Fields: bad}
			}
		}
	}
	if bad != nil {
		return nil, &InvalidError{Fields: bad}
	}
	return rows, nil
}

// prepare checks the fields; scheduler.check_submit holds the same rules for SQL, and a test compares the doors.
func (t *NewTask) prepare() (row submission, bad []FieldError) {
	check := func(ok bool, field, rule string) {
		if !ok {
			bad = append(bad, FieldError{field, rule})
		}
	}
	if t.Queue == "" {
		t.Queue = DefaultQueue
	}
	if t.MaxAttempts == 0 {
		t.MaxAttempts = defaultAttempts
	}
	check(ValidKind(t.Kind), "kind", `1 to 128 letters, digits and _ . : / \ -, not starting with punctuation`)
	check(ValidQueue(t.Queue), "queue", queueRule)
	payload, err := encode(t.Payload, "{}")
	if err == nil {
		err = CheckJSON(payload)
	}
	if err != nil {
		check(false, "payload", err.Error())
	}
	check(t.Priority >= -32768 && t.Priority <= 32767, "priority", "-32768 to 32767")
	check(t.RunAt.IsZero() || !t.RunAt.Before(firstTime) && !t.RunAt.After(lastTime), "run_at", "a time between the years 1970 and 9999")
	check(t.Delay >= 0 && t.Delay <= time.Duration(maxDelay), "delay_ms", "0 to 3155760000000")
	check(t.RunAt.IsZero() || t.Delay == 0, "delay_ms", "not together with run_at")
	check(t.MaxAttempts >= 1 && t.MaxAttempts <= 1000, "max_attempts", "1 to 1000")
	check(t.Timeout == 0 || t.Timeout >= time.Millisecond && t.Timeout <= time.Duration(maxTimeout), "timeout_ms", "1 to 31557600000")
	check(t.ExpiresAt.IsZero() || !t.ExpiresAt.Before(firstTime) && !t.ExpiresAt.After(lastTime), "expires_at", "a time between the years 1970 and 9999")
	check(keyFits(t.UniqueKey), "unique_key", "1 to 255 bytes of UTF-8 without NUL")
	check(keyFits(t.IdempotencyKey), "idempotency_key", "1 to 255 bytes of UTF-8 without NUL")
	check(BackoffFits(t.Backoff), "backoff_ms", "1 to 100 elements, each 0 to 31557600000")
	check(t.TraceParent == "" || ValidTraceParent(t.TraceParent), "trace_parent", "a W3C traceparent, as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	check(TagsFit(t.Tags), "tags", tagsRule)
	if bad != nil {
		return row, bad
	}
	return submission{
		id: NewTaskID(), queue: t.Queue, kind: t.Kind, payload: string(payload), priority: int16(t.Priority), runAt: nullTime(t.RunAt),
		delayMS: null(t.Delay.Milliseconds()), maxAttempts: int16(t.MaxAttempts), timeoutMS: null(t.Timeout.Milliseconds()),
		expiresAt: nullTime(t.ExpiresAt), uniqueKey: null(t.UniqueKey), idempotencyKey: null(t.IdempotencyKey), backoffMS: backoffLiteral(t.Backoff),
		trace: null(t.TraceParent),
		tags:  tagsLiteral(t.Tags),
	}, nil
}

// ValidKind reports whether a task may be of the kind.
func ValidKind(kind string) bool { return validName(kind, `_.:/\-`) }

// ValidQueue reports whether a queue may have the name.
func ValidQueue(queue Queue) bool { return validName(string(queue), "_.-") }

// validName reports whether the name has 1 to 128 letters, digits and marks, and starts with none of these but _.
func validName(name, marks string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
		if !letter && (i == 0 || strings.IndexByte(marks, c) < 0) {
			return false
		}
	}
	return len(name) >= 1 && len(name) <= 128
}

// BackoffFits reports whether the list can be a task's Backoff.
func BackoffFits(list []time.Duration) bool {
	return len(list) <= maxBackoff && !slices.ContainsFunc(list, func(d time.Duration) bool { return d < 0 || d > time.Duration(maxTimeout) })
}

func keyFits(key string) bool { return len(key) <= 255 && storable(key) }

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond) // what timestamptz holds
	return &t
}

func backoffLiteral(list []time.Duration) *string {
	if len(list) == 0 {
		return nil
	}
	var b strings.Builder
	for i, d := range list {
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(strconv.FormatInt(d.Milliseconds(), 10))
	}
	b.WriteByte('}')
	return null(b.String())
}
