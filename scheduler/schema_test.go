package scheduler_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/migrations"
	"github.com/pgscheduler/scheduler/scheduler"
)

func TestSchemaVersionIsTheNewestMigration(t *testing.T) {
	t.Parallel()
	latest, err := migrations.Latest()
	must(t, err)
	if latest != scheduler.SchemaVersion {
		t.Errorf("SchemaVersion is %d, the newest migration %d", scheduler.SchemaVersion, latest)
	}
}

// One sentence, and the command that mends it.
func TestOpenRefusesAnotherSchema(t *testing.T) {
	t.Parallel()
	newer := pgtest.DB(t)
	r := &rig{t: t, ctx: t.Context(), url: newer}
	r.db = r.pool(newer)
	r.exec(`insert into scheduler.goose_db_version (version_id, is_applied) values (99, true)`)
	older := pgtest.DB(t)
	_, err := migrations.Down(t.Context(), older, 3)
	must(t, err)
	undone := pgtest.DB(t)
	_, err = migrations.Down(t.Context(), undone, 0)
	must(t, err)
	for _, c := range []struct {
		name, url string
		database  int64
		text      string
	}{
		{"newer", newer, 99, fmt.Sprintf(`the database's schema is at version 99 and this binary knows only %d: install a newer scheduler, or run "scheduler migrate down --to %[1]d" with the binary that made it`, scheduler.SchemaVersion)},
		{"older", older, 3, fmt.Sprintf(`the database's schema is at version 3 and this binary needs %d: run "scheduler migrate up"`, scheduler.SchemaVersion)},
		{"undone", undone, 0, `the database has no schema "scheduler": run "scheduler migrate up"`},
		{"empty", pgtest.EmptyDB(t), 0, `the database has no schema "scheduler": run "scheduler migrate up"`},
	} {
		client, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: c.url})
		if err == nil {
			client.Close()
		}
		var wrong *scheduler.SchemaError
		if !errors.As(err, &wrong) || !errors.Is(err, scheduler.ErrSchema) || wrong.Database != c.database || err.Error() != c.text {
			t.Errorf("%s: %v\nwant %s", c.name, err, c.text)
		}
		if scheduler.Unavailable(err) {
			t.Errorf("%s: counts as unavailable", c.name)
		}
	}
}

func TestOpenNamesTheBadField(t *testing.T) {
	t.Parallel()
	for field, config := range map[string]scheduler.Config{
		"MaxConns":   {MaxConns: -1},
		"Poll":       {Poll: 1},
		"MaxCrashes": {MaxCrashes: 1001},
	} {
		_, err := scheduler.Open(t.Context(), config)
		var bad *scheduler.InvalidError
		if !errors.As(err, &bad) || len(bad.Fields) != 1 || bad.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: "postgres://localhost:port/"}); err == nil {
		t.Error("a URL that does not parse was taken")
	}
	if _, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: "postgres://127.0.0.1:1/none?connect_timeout=1"}); !scheduler.Unavailable(err) {
		t.Errorf("nobody there: %v is not Unavailable", err)
	}
}
