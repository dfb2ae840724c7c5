package load

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	//go:embed sql/backend.sql
	sqlBackend string
	//go:embed sql/others.sql
	sqlOthers string
	//go:embed sql/reading.sql
	sqlReading string
	//go:embed sql/updates.sql
	sqlUpdates string
)

// Gauge reads what a run costs, on a connection of its own. Not safe for concurrent use.
type Gauge struct {
	conn    *pgx.Conn
	schema  string
	company int     // others who were connected when it was opened
	server  *server // nil: not on this machine
	blind   string  // why it is nil; "": it is not
}

// OpenGauge connects. schema is the one whose updates are counted; "": all.
func OpenGauge(ctx context.Context, databaseURL, schema string) (*Gauge, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("gauge: %w", err)
	}
	config.RuntimeParams["application_name"] = "scheduler bench gauge"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("gauge: %w", err)
	}
	g := &Gauge{conn: conn, schema: schema}
	var pid int
	var local bool
	if err := conn.QueryRow(ctx, sqlBackend).Scan(&pid, &local); err != nil {
		return nil, errors.Join(fmt.Errorf("gauge: %w", err), conn.Close(ctx))
	}
	if g.company, err = g.others(ctx); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	if !local {
		g.blind = "PostgreSQL's CPU is unknown: it runs on another machine"
	} else if g.server, err = findServer(pid); err != nil {
		g.blind = "PostgreSQL's CPU is unknown: " + err.Error()
	}
	return g, nil
}

// Close ends the connection.
func (g *Gauge) Close(ctx context.Context) { _ = g.conn.Close(ctx) } // it only read

// Span is the time from Begin to End.
type Span struct {
	at     time.Time
	before counters
}

type counters struct {
	host         host
	client       time.Duration
	server       time.Duration
	wal          int64
	transactions int64
	updates      updates
}

type updates struct{ all, hot int64 }

// Begin starts a span. What is done before it is over, as far as PostgreSQL tells.
func (g *Gauge) Begin(ctx context.Context) (Span, error) {
	before, err := g.read(ctx)
	if err == nil {
		before.updates, err = g.updates(ctx)
	}
	before.client, before.host = ClientCPU(), readHost()
	return Span{at: time.Now(), before: before}, err
}

// Usage is what a span cost.
type Usage struct {
	Took         time.Duration
	Client       time.Duration // CPU of this process
	Server       time.Duration // CPU of PostgreSQL
	Steal        *float64      // percent
	WAL          int64         // bytes
	Transactions int64         // of the database
	Blind        string        // why Server is 0

	before updates
}

// End ends a span.
func (g *Gauge) End(ctx context.Context, s Span) (Usage, error) {
	took, client, host := time.Since(s.at), ClientCPU(), readHost()
	after, err := g.read(ctx)
	own := int64(2) // the statements of Begin
	return Usage{
		Took: took, Client: client - s.before.client, Steal: host.steal(s.before.host), Server: after.server - s.before.server,
		WAL: after.wal - s.before.wal, Transactions: max(0, after.transactions-s.before.transactions-own), Blind: g.blind,
		before: s.before.updates,
	}, err
}

// HOT returns which percentage of the updates since the beginning of the span was heap-only, nil when nothing was updated.
// Call it when those who updated have closed their connections: PostgreSQL counts late what others do.
func (g *Gauge) HOT(ctx context.Context, u Usage) (*float64, error) {
	if err := g.Settle(ctx); err != nil {
		return nil, err
	}
	after, err := g.updates(ctx)
	if all := after.all - u.before.all; err == nil && all > 0 {
		return Figure(100 * float64(after.hot-u.before.hot) / float64(all)), nil
	}
	return nil, err
}

// Settle waits, for up to three seconds, until no more others are connected to the database than when the gauge was opened.
func (g *Gauge) Settle(ctx context.Context) error {
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		others, err := g.others(ctx)
		if err != nil || others <= g.company {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// others counts the other connections to the database.
func (g *Gauge) others(ctx context.Context) (n int, err error) {
	if err := g.conn.QueryRow(ctx, sqlOthers).Scan(&n); err != nil {
		return 0, fmt.Errorf("gauge: %w", err)
	}
	return n, nil
}

func (g *Gauge) read(ctx context.Context) (c counters, err error) {
	if g.server != nil {
		if c.server, err = g.server.cpu(); err != nil {
			return c, fmt.Errorf("gauge: %w", err)
		}
	}
	if err := g.conn.QueryRow(ctx, sqlReading).Scan(&c.wal, &c.transactions); err != nil {
		return c, fmt.Errorf("gauge: %w", err)
	}
	return c, nil
}

func (g *Gauge) updates(ctx context.Context) (u updates, err error) {
	if err := g.conn.QueryRow(ctx, sqlUpdates, g.schema).Scan(&u.all, &u.hot); err != nil {
		return u, fmt.Errorf("gauge: %w", err)
	}
	return u, nil
}

// PerTask sets what each task cost.
func (r *Result) PerTask(u Usage) {
	r.Steal = u.Steal
	if r.Tasks == 0 {
		return
	}
	tasks := float64(r.Tasks)
	r.ClientCPU, r.WAL = Figure(float64(u.Client.Microseconds())/tasks), Figure(float64(u.WAL)/tasks)
	if r.Note(u.Blind); u.Blind == "" {
		r.ServerCPU = Figure(float64(u.Server.Microseconds()) / tasks)
	}
}

// PerTime sets what each second cost.
func (r *Result) PerTime(u Usage) {
	seconds := u.Took.Seconds()
	r.Seconds, r.Steal = Round(seconds), u.Steal
	r.TransactionsPerSecond, r.WALPerSecond = Figure(float64(u.Transactions)/seconds), Figure(float64(u.WAL)/seconds)
	r.ClientPercent = Figure(100 * u.Client.Seconds() / seconds)
	if r.Note(u.Blind); u.Blind == "" {
		r.ServerPercent = Figure(100 * u.Server.Seconds() / seconds)
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
