package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/sql"
)

// SchemaVersion is the migration that this build works with; a test holds it to the newest file in migrations.
const SchemaVersion = 19

// Config of a Client. The zero value connects as the PG* variables of the environment say.
type Config struct {
	// DatabaseURL is a libpq connection string or postgres:// URL. "": from the environment (PGHOST, PGDATABASE, …).
	DatabaseURL string

	// MaxConns bounds the connections for submitting, leasing and finishing, 1 to 1000. 0: 8. Too few make slots wait for
	// each other; PostgreSQL must allow this many, plus 4 for control, 4 for reading, 2 for heartbeats, one for announcing and
	// one for listening, for each process, each opened when first needed.
	MaxConns int

	// PollOnly never listens, for a database behind a pooler that can't: everything is found by polling, within a second.
	PollOnly bool

	// Poll is how often due work is looked for while nothing announces it, 10 ms to 1 min. 0: 1 s. Shorter costs idle queries.
	// While the process listens to announcements it looks every 5 s, or every Poll if that is longer.
	Poll time.Duration

	// MaxCrashes is how many workers a task may lose before it is failed with worker_lost, 1 to 1000. 0: 3.
	MaxCrashes int

	// MessageRetention is for how long messages are kept for those who follow topics, 1 min to 1 year. 0: 1 h. Whoever was away for
	// longer misses some, and is told. All processes should have the same: the shortest one wins.
	MessageRetention time.Duration

	// Logger gets what happens in the background. nil: slog.Default().
	Logger *slog.Logger

	bear   time.Duration // instead of hotLockTimeout, lockTimeout, statsTimeout, handInLimit and, for those who watch, readTimeout; 0: those
	ping   time.Duration // instead of pingEvery; 0: that
	answer time.Duration // instead of pingWithin; 0: that
}

// Client is a connection to the tasks of one database. Safe for concurrent use. Make it with Open; Close it.
type Client struct {
	config Config
	listen *pgx.ConnConfig
	hot    *pgxpool.Pool // statements of the hot path, with pinned plans
	pool   *pgxpool.Pool // control
	reads  *pgxpool.Pool // what people look at, which may take long and must not hold up the others
	vital  *pgxpool.Pool // heartbeats, which must never wait for the others
	mouth  *pgxpool.Pool // one connection for announcements, whose commits nobody waits for
	ear    ear
	hints  hinter

	submits     group[submission, Submitted]
	completions group[completion, struct{}]
	failures    group[failed, State]
	snoozes     group[snoozed, State]
	renewals    group[renewal, remoteState]
	settlings   group[Settling, Settlement]
	dispatch    dispatcher
	positions   positions
	scouts      scouts
	watches     watches
	broadcasts  broadcasts
	tallies     tallies
	bulkSizes   bulkSizes
	due         soon // to Maintain
	counters    counters
	ahead       ahead
}

const (
	statementTimeout = 15 * time.Second       // of one statement, in the database
	readTimeout      = 5 * time.Second        // of a statement that only reads
	hotLockTimeout   = 2 * time.Second        // of waiting for a row or key that somebody else has locked
	keyLockTimeout   = 200 * time.Millisecond // the same for a key, while others that travel along wait as well
	lockTimeout      = 5 * time.Second        // the same off the hot path
	pollMost         = time.Minute            // Config.Poll
	controlConns     = 4
	readConns        = 4
	vitalConns       = 2
)

// Open connects and checks the schema. It returns *InvalidError for a bad Config, *SchemaError when the schema is
// missing, older or newer than this build, and other errors when the database can't be reached.
func Open(ctx context.Context, config Config) (*Client, error) {
	if err := config.fill(); err != nil {
		return nil, err
	}
	base, err := pgxpool.ParseConfig(config.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if base.ConnConfig.ConnectTimeout == 0 {
		base.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	base.ShouldPing = shouldPing
	base.MaxConnIdleTime, base.MaxConnLifetime, base.MaxConnLifetimeJitter = 5*time.Minute, 30*time.Minute, 5*time.Minute
	params := base.ConnConfig.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "scheduler"
	}
	params["timezone"] = "UTC"
	params["jit"] = "off" // compiling costs more than any of these statements
	params["statement_timeout"] = fmt.Sprint(statementTimeout.Milliseconds())

	c := &Client{config: config, listen: base.ConnConfig.Copy(), due: soon{told: make(chan struct{}, 1)}, scouts: newScouts(ctx), counters: newCounters()}
	c.submits.sizes, c.completions.sizes, c.failures.sizes, c.snoozes.sizes = NewHistogram(groupBounds), NewHistogram(groupBounds), NewHistogram(groupBounds), NewHistogram(groupBounds)
	for _, p := range []struct {
		pool  **pgxpool.Pool
		conns int
		lock  time.Duration
	}{{&c.hot, config.MaxConns, hotLockTimeout}, {&c.pool, controlConns, lockTimeout}, {&c.reads, readConns, lockTimeout}, {&c.vital, vitalConns, lockTimeout}, {&c.mouth, 1, lockTimeout}} {
		its := base.Copy()
		its.MaxConns = int32(p.conns)
		its.ConnConfig.RuntimeParams["lock_timeout"] = fmt.Sprint(cmp.Or(config.bear, p.lock).Milliseconds())
		switch p.pool {
		case &c.hot:
			pinPlans(its.ConnConfig.RuntimeParams)
		case &c.mouth:
			its.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
			its.BeforeClose = func(*pgx.Conn) { c.hints.pid.Store(0) } // another's connection may get the number
		case &c.reads:
			its.ConnConfig.RuntimeParams["statement_timeout"] = fmt.Sprint(readTimeout.Milliseconds())
		}
		if *p.pool, err = pgxpool.NewWithConfig(ctx, its); err != nil { // connects when first used
			return nil, fmt.Errorf("open: %w", err)
		}
	}
	c.hints.send = c.notify
	background := context.WithoutCancel(ctx) // bounded by addStats
	c.tallies.flush = func(counts map[tallied]*tally) error { return c.addStats(background, counts) }
	c.submits.run, c.submits.size, c.submits.lock = c.submitEach, func(s submission) int { return len(s.payload) }, submission.lock
	c.completions.run, c.completions.size = c.completeMany, completion.size
	c.failures.run, c.failures.size = c.failMany, failed.size
	c.snoozes.run, c.snoozes.size = c.snoozeMany, func(s snoozed) int { return 0 } // a reason is short
	c.renewals.run, c.renewals.size = c.renewMany, func(renewal) int { return 0 }
	c.settlings.run, c.settlings.size, c.settlings.sizes = c.settleMany, Settling.size, NewHistogram(groupBounds)
	c.ear.open(c)
	c.dispatch.open(c)
	c.watches.open(c)
	c.broadcasts.open(c)
	if err := c.CheckSchema(ctx); err != nil {
		c.Close()
		return nil, err
	}
	began := time.Now()
	clock, err := c.now(ctx)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("open: %w", err)
	}
	c.positions.trip = time.Since(began)
	c.ahead.note(clock, began, time.Now())
	return c, nil
}

// patient marks the context of background work, which bears a dead connection by itself: it tries again. Trying those first
// that were idle for a second, as for everybody else, would be half of what an idle process asks of the database.
type patient struct{}

func bePatient(ctx context.Context) context.Context { return context.WithValue(ctx, patient{}, true) }

func shouldPing(ctx context.Context, p pgxpool.ShouldPingParams) bool {
	if ctx.Value(patient{}) != nil {
		return p.IdleDuration > 10*time.Second
	}
	return p.IdleDuration > time.Second
}

// pinPlans fixes how the hot path's statements are planned by their form alone: a worker that starts on an empty table
// would otherwise keep the scans and sorts that were right then: without statistics a lease would read and sort all ready tasks.
func pinPlans(params map[string]string) {
	for _, name := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"} {
		params[name] = "off"
	}
	params["plan_cache_mode"] = "force_generic_plan" // planning anew each time costs more than a small completion
}

func (c *Config) fill() error {
	if c.MaxConns == 0 {
		c.MaxConns = 8
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.MaxCrashes == 0 {
		c.MaxCrashes = 3
	}
	if c.MessageRetention == 0 {
		c.MessageRetention = time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	switch {
	case c.MaxConns < 1 || c.MaxConns > 1000:
		return invalid("MaxConns", "1 to 1000")
	case c.Poll < 10*time.Millisecond || c.Poll > pollMost:
		return invalid("Poll", "10ms to 1m")
	case c.MaxCrashes < 1 || c.MaxCrashes > 1000:
		return invalid("MaxCrashes", "1 to 1000")
	case c.MessageRetention < time.Minute || c.MessageRetention > maxTimeout:
		return invalid("MessageRetention", "1m to 8766h")
	}
	return nil
}

// Close waits for submits and outcomes of attempts that are under way, sends the hints that wait and closes all connections.
// Other calls under way fail.
func (c *Client) Close() {
	c.dispatch.close()
	c.settlings.close()
	c.renewals.close()
	c.submits.close()
	c.completions.close()
	c.failures.close()
	c.snoozes.close()
	c.tallies.close()
	c.hints.close()
	c.scouts.close()
	c.watches.close()
	c.broadcasts.close()
	c.ear.close()
	c.hot.Close()
	c.pool.Close()
	c.reads.Close()
	c.vital.Close()
	c.mouth.Close()
}

// Ping does one round trip.
func (c *Client) Ping(ctx context.Context) error { return c.pool.Ping(ctx) }

// CheckSchema returns a *SchemaError when the database's schema is not SchemaVersion.
func (c *Client) CheckSchema(ctx context.Context) error {
	var version int64
	err := c.pool.QueryRow(ctx, sql.SchemaVersion).Scan(&version)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") {
		return &SchemaError{Database: 0, Binary: SchemaVersion}
	}
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if version != SchemaVersion {
		return &SchemaError{Database: version, Binary: SchemaVersion}
	}
	return nil
}

// one runs a statement that returns at most one row; none is ErrNotFound.
func one[T any](ctx context.Context, pool *pgxpool.Pool, verb, statement string, args pgx.StrictNamedArgs) (T, error) {
	rows, err := pool.Query(ctx, statement, args)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("%s: %w", verb, err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
	if errors.Is(err, pgx.ErrNoRows) {
		return row, ErrNotFound
	}
	if err != nil {
		return row, fmt.Errorf("%s: %w", verb, err)
	}
	return row, nil
}

// all runs a statement and returns its rows, never nil.
func all[T any](ctx context.Context, pool *pgxpool.Pool, verb, statement string, args pgx.StrictNamedArgs) ([]T, error) {
	rows, err := pool.Query(ctx, statement, args)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	return list, nil
}
