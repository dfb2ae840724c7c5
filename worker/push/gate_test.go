package push

import (
	"log/slog"
	"testing"

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
		tx, err := db.Begin(t.Context())
		if err == nil {
			_, err = tx.Exec(t.Context(), `select from scheduler.endpoints for update`)
		}
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan error, 1)
		go func() {
			granted, _, err := g.ask(t.Context(), id, 1)
			if err == nil && granted != 0 {
				t.Error("it is granted")
			}
			asked <- err
		}()
		for waits := false; !waits; {
			if err := db.QueryRow(t.Context(), `select exists (select from pg_stat_activity
				where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waits); err != nil {
				t.Fatal(err)
			}
		}
		if changes {
			g.reset()
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-asked; err != nil {
			t.Fatal(err)
		}
		if g.until.IsZero() != changes {
			t.Errorf("it changed: %t; it is of no use to ask before %s", changes, g.until)
		}
		g.reset()
	}
}
