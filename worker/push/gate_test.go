package push

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

// An endpoint that changes while its breaker's answer is under way is asked about again at once, not when that says, which may be in an hour.
func TestEndpointChangesWhileItIsAskedAbout(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	client, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	db, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	e := scheduler.NewEndpoint{Name: "shop", URL: "http://127.0.0.1/", Kinds: []string{"k"}}
	if _, _, err := client.SetEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `update scheduler.endpoints set state = 'open', opened_at = now(), probe_at = now() + interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	g := newGate(client, "shop", slog.New(slog.DiscardHandler))
	id := scheduler.NewWorkerID()
	for _, changes := range []bool{false, true} {
		g.reset()
		unlock := lockEndpoints(t, db)
		asked := make(chan error, 1)
		go func() { // waited for
			granted, _, err := g.ask(t.Context(), id, 1)
			if err == nil && granted != 0 {
				err = errors.New("it is granted")
			}
			asked <- err
		}()
		awaitLockedOut(t, db)
		if changes {
			g.reset()
		}
		unlock()
		if err := <-asked; err != nil {
			t.Fatal(err)
		}
		if g.until.IsZero() != changes {
			t.Errorf("it changed: %t; it is of no use to ask before %s", changes, g.until)
		}
	}
}

// lockEndpoints has all who ask about endpoints wait.
func lockEndpoints(t *testing.T, db *pgxpool.Pool) (unlock func()) {
	t.Helper()
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	unlock = func() { _ = tx.Rollback(context.Background()) } // a second time too
	t.Cleanup(unlock)
	if _, err := tx.Exec(t.Context(), `select from scheduler.endpoints for update`); err != nil {
		t.Fatal(err)
	}
	return unlock
}

// awaitLockedOut returns when somebody waits for a lock.
func awaitLockedOut(t *testing.T, db *pgxpool.Pool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	waits := false
	for limit := time.Now().Add(time.Minute); !waits; <-tick.C {
		if time.Now().After(limit) {
			t.Fatal("nobody waits for the lock")
		}
		if err := db.QueryRow(t.Context(), `select exists (select from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
}
