package load

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/snapshot.sql
var sqlSnapshot string

const (
	bloatSlices = 10
	bloatMost   = 3 * time.Minute // of work; a queue may become slower and slower
)

// bloat works off many tasks while another connection holds a snapshot open, so that no dead row can be removed. Cases:
// latency without it (before), the work in ten slices (work), latency with it (after); the last one is left out when the
// work did not end.
func bloat(ctx context.Context, r *Run, emit Emit) (err error) {
	Default(&r.Tasks, 500_000)
	Default(&r.Slots, 100)
	before, err := r.latencyAlone(ctx, "before")
	if err != nil {
		return err
	}
	if err := emit(before); err != nil {
		return err
	}
	snapshot, err := holdSnapshot(ctx, r.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { err = first(err, snapshot.release(context.WithoutCancel(ctx))) }()
	s, err := r.Open(ctx, r.Setup())
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := r.Fill(ctx, s, r.Tasks, r.Payload); err != nil {
		return err
	}
	work, tally := Result{Workload: r.Name, Case: "work"}, NewTally()
	tally.sliced(int64(r.Tasks), bloatSlices)
	ended, err := r.workAtMost(ctx, bloatMost, s, &work, tally)
	if err != nil {
		return err
	}
	work.Slices = tally.slices()
	if err := emit(work); err != nil || !ended {
		return err
	}
	after, err := r.latencyAlone(ctx, "after")
	if err != nil {
		return err
	}
	return emit(after)
}

// latencyAlone is latency with a subject of its own.
func (r *Run) latencyAlone(ctx context.Context, name string) (Result, error) {
	s, err := r.Open(ctx, r.Setup())
	if err != nil {
		return Result{}, err
	}
	defer s.Close()
	return r.latency(ctx, s, name)
}

// snapshot is a transaction that keeps every row version that is dead since.
type snapshot struct {
	conn   *pgx.Conn
	oldest string // transaction that it may see
}

func holdSnapshot(ctx context.Context, databaseURL string) (*snapshot, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, err
	}
	for _, limit := range []string{"idle_in_transaction_session_timeout", "statement_timeout"} {
		config.RuntimeParams[limit] = "0"
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &snapshot{conn: conn}
	_, err = conn.Exec(ctx, "begin isolation level repeatable read")
	if err == nil {
		err = conn.QueryRow(ctx, sqlSnapshot).Scan(&s.oldest)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hold a snapshot: %w", err), conn.Close(ctx))
	}
	return s, nil
}

// release ends the transaction. It returns an error when the snapshot was not held until now: then nothing was measured.
func (s *snapshot) release(ctx context.Context) error {
	var oldest string
	err := s.conn.QueryRow(ctx, sqlSnapshot).Scan(&oldest)
	if err == nil && oldest != s.oldest {
		err = fmt.Errorf("it was of transaction %s, then of %s", s.oldest, oldest)
	}
	if err != nil {
		err = fmt.Errorf("the snapshot was not held to the end: %w", err)
	}
	return first(err, s.conn.Close(ctx))
}
