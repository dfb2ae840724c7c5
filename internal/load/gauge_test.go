package load_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/load"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestGauge(t *testing.T) {
	t.Parallel()
	url := pgtest.EmptyDB(t)
	gauge, err := load.OpenGauge(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer gauge.Close(context.WithoutCancel(t.Context()))
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	execute := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	execute("create table t (id integer primary key, n integer, note text) with (fillfactor = 10, autovacuum_enabled = off)")
	execute("create index on t (n)")
	execute("insert into t select i, i, repeat('x', 100) from generate_series(1, 1000) i")

	span, err := gauge.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute("update t set note = repeat('y', 100) where id <= 750") // heap-only: no index knows note
	execute("update t set n = -n where id > 750")
	execute("select count(*) from generate_series(1, 1000000)")
	usage, err := gauge.End(t.Context(), span)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	hot, err := gauge.HOT(t.Context(), usage)
	if err != nil {
		t.Fatal(err)
	}
	if hot == nil || *hot != 75 {
		t.Errorf("HOT updates: %v, want 75 %%", hot)
	}
	if usage.WAL < 100_000 {
		t.Errorf("WAL: %d bytes for 1,000 updates of rows of 100 bytes", usage.WAL)
	}
	if usage.Took <= 0 || usage.Took > time.Minute {
		t.Errorf("took %v", usage.Took)
	}
	if runtime.GOOS == "linux" && (usage.Blind != "" || usage.Server <= 10*time.Millisecond || usage.Server > time.Minute) {
		t.Errorf("PostgreSQL's CPU: %v for a million rows (%s)", usage.Server, usage.Blind)
	}
	if usage.Steal != nil && (*usage.Steal < 0 || *usage.Steal > 100) {
		t.Errorf("steal: %v %%", *usage.Steal)
	}
}

func TestOptionsThatAreOutOfBounds(t *testing.T) {
	t.Parallel()
	for _, o := range []load.Options{{Tasks: -1}, {Slots: 10_001}, {Payload: 262_145}, {Window: 2 * time.Hour}, {Clients: []int{0}}, {Clients: []int{1, 20_000}}} {
		if o.Validate() == nil {
			t.Errorf("%+v is allowed", o)
		}
	}
	if err := (load.Options{}).Validate(); err != nil {
		t.Error(err)
	}
}
