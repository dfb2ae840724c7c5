//go:build unix

package crash

import (
	"fmt"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

// A bulk whose process is killed in the middle of a chunk is gone on with by another: each task once, with one audit row.
func TestBulkOfKilledProcess(t *testing.T) {
	t.Parallel()
	const total = 12_000
	l := openLedger(t, pgtest.DB(t))
	l.exec(`create table hold (at bigint)`) // a chunk stands still once so many tasks are done, as long as the test has the lock
	l.exec(`create function hold() returns trigger language plpgsql as $$ begin
		perform pg_advisory_xact_lock_shared(42) from hold where at <= (select done from scheduler.bulk); return null; end $$`)
	l.exec(`create trigger hold before insert on scheduler.audit for each statement execute function hold()`)
	l.exec(`insert into scheduler.tasks (kind, queue, state) select 'k', 'nobody', 'ready' from generate_series(1, $1::integer)`, total)
	b, err := l.client.BeginBulk(t.Context(), "cancel", scheduler.Filter{Kind: "k"}, "not wanted")
	if err != nil {
		t.Fatal(err)
	}
	lock, err := l.db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	held := func() bool {
		return read[bool](l, `select exists (select from pg_locks where locktype = 'advisory' and objid = 42 and not granted)`)
	}
	for _, at := range []int{1000, 3000, 5000} {
		for _, statement := range []string{`truncate hold`, fmt.Sprintf(`insert into hold values (%d)`, at), `select pg_advisory_lock(42)`} {
			if _, err := lock.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		p := start(t, orders{URL: l.url, Name: "victim"})
		await(t, "a chunk is under way", held)
		p.kill()
		if _, err := lock.Exec(t.Context(), `select pg_advisory_unlock(42)`); err != nil {
			t.Fatal(err)
		}
		await(t, "its connection ends", func() bool { return !held() })
		if done := read[int](l, `select done::integer from scheduler.bulk where state = 'running'`); done < at || done == total {
			t.Fatalf("%d done when it was killed", done)
		}
	}
	start(t, orders{URL: l.url, Name: "heir"})
	await(t, "the bulk ends", func() bool { return read[string](l, `select state from scheduler.bulk`) != "running" })
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
