// Command floor is the least that PostgreSQL can do as a queue with a history: bare SQL, prepared statements, pinned plans,
// two loops that lease 500 by tuple id and complete 500; single inserts are a transaction each. FLOOR_SHAPE is narrow (11
// columns; the default) or wide (the columns and indexes of a product).
package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/pgscheduler/scheduler/bench/contestants/entry"
	"github.com/pgscheduler/scheduler/internal/load"
)

//go:embed narrow wide
var files embed.FS

const (
	loops = 2
	most  = 500
	empty = 5 * time.Millisecond // wait of a loop that found nothing
)

func main() { entry.Main(open) }

type subject struct {
	pool       *pgxpool.Pool
	setup      load.Setup
	pad        string
	statements map[string]string
	closed     sync.Once
}

func open(ctx context.Context, databaseURL string, setup load.Setup) (load.Subject, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(min(max(10, setup.Clients), 150))
	for _, name := range []string{"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit"} {
		config.ConnConfig.RuntimeParams[name] = "off"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &subject{pool: pool, setup: setup, pad: load.Padding(setup.Payload), statements: map[string]string{}}
	if err := s.prepare(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// prepare reads the statements and makes the table.
func (s *subject) prepare(ctx context.Context) error {
	shape := os.Getenv("FLOOR_SHAPE")
	if shape == "" {
		shape = "narrow"
	}
	for _, name := range []string{"schema", "lease", "complete", "insert", "insert_one", "unfinished", "unfinished_all"} {
		raw, err := files.ReadFile(shape + "/" + name + ".sql")
		if err != nil {
			return err
		}
		s.statements[name] = string(raw)
	}
	_, err := s.pool.Exec(ctx, s.statements["schema"])
	return err
}

func (s *subject) payload(at int64) string {
	raw, _ := json.Marshal(load.Args{At: at, Pad: s.pad}) // a number and a string
	return string(raw)
}

// newID is a UUID of version 7; it panics only without random numbers.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func (s *subject) Insert(ctx context.Context, n int) error {
	ids, payloads := make([]uuid.UUID, n), make([]string, n)
	for i := range n {
		ids[i], payloads[i] = newID(), s.payload(0)
	}
	_, err := s.pool.Exec(ctx, s.statements["insert"], ids, payloads)
	return err
}

func (s *subject) Submit(ctx context.Context, at int64) error {
	_, err := s.pool.Exec(ctx, s.statements["insert_one"], newID(), s.payload(at))
	return err
}

func (s *subject) Work(ctx context.Context, handle func(at int64)) (stop func() error, err error) {
	life, cancel := context.WithCancel(ctx)
	group, life := errgroup.WithContext(life)
	for range loops {
		group.Go(func() error { // until life ends; stop waits for it
			err := s.loop(life, handle)
			if life.Err() != nil {
				return nil
			}
			s.setup.Fail(fmt.Errorf("a loop ended by itself: %w", err))
			return err
		})
	}
	return func() error { cancel(); return group.Wait() }, nil
}

// loop leases and completes.
func (s *subject) loop(ctx context.Context, handle func(at int64)) error {
	limit := min(most, max(1, s.setup.Slots/loops))
	for {
		rows, err := s.pool.Query(ctx, s.statements["lease"], limit)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		var id uuid.UUID
		var raw []byte
		_, err = pgx.ForEachRow(rows, []any{&id, &raw}, func() error {
			var args load.Args
			if err := json.Unmarshal(raw, &args); err != nil {
				return err
			}
			handle(args.At)
			ids = append(ids, id)
			return nil
		})
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(empty):
			}
			continue
		}
		if _, err := s.pool.Exec(ctx, s.statements["complete"], ids); err != nil {
			return err
		}
	}
}

func (s *subject) Unfinished(ctx context.Context, all bool) (n int64, err error) {
	name := "unfinished"
	if all {
		name = "unfinished_all"
	}
	err = s.pool.QueryRow(ctx, s.statements[name]).Scan(&n)
	return n, err
}

func (s *subject) Analyze(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, "analyze")
	return err
}

func (s *subject) Close() { s.closed.Do(s.pool.Close) }
