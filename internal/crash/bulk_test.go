//go:build unix

package crash

import (
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
)

// A bulk whose process is killed in the middle of a chunk is gone on with by another: each task once, with one audit row.
func TestBulkOfKilledProcess(t *testing.T) {
	t.Parallel()
	const total = 12_000
	l := openLedger(t, pgtest.DB(t))
	l.exec(`create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.1); return null; end $$`)
	l.exec(`create trigger slow before insert on scheduler.audit for each statement execute function slow()`)
	l.exec(`insert into scheduler.tasks (kind, queue, state) select 'k', 'nobody', 'ready' from generate_series(1, $1::integer)`, total)
	b, err := l.client.BeginBulk(t.Context(), "cancel", scheduler.Filter{Kind: "k"}, "not wanted")
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for next := int64(1000); next < total/2; next += 2000 {
		p := start(t, orders{URL: l.url, Name: "victim"})
		proc.Await(t, "the bulk is under way", func() bool { return read[int64](l, `select done from scheduler.bulk`) >= next })
		proc.Await(t, "a chunk is under way", func() bool {
			return read[int](l, `select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`) > 0
		})
		p.Kill()
		if read[string](l, `select state from scheduler.bulk`) == "running" {
			kills++
		}
	}
	if kills < 2 {
		t.Fatalf("%d processes were killed at work", kills)
	}
	start(t, orders{URL: l.url, Name: "heir"})
	proc.Await(t, "the bulk ends", func() bool { return read[string](l, `select state from scheduler.bulk`) != "running" })
	if b, err = l.client.Bulk(t.Context(), b.ID); err != nil || b.State != "done" || b.Done != total || b.Skipped != 0 {
		t.Errorf("%+v, %v", b, err)
	}
	for what, n := range map[string]int{
		"tasks cancelled once":     read[int](l, `select count(*) from scheduler.tasks where state = 'cancelled' and error = 'not wanted' and revision = 2`),
		"tasks with one audit row": read[int](l, `select count(*) from (select task_id from scheduler.audit where verb = 'cancel' group by 1 having count(*) = 1) a`),
	} {
		if n != total {
			t.Errorf("%d %s", n, what)
		}
	}
}
