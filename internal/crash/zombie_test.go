//go:build unix

package crash

import (
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
)

// zombieTTL is the lease of workers that must not lose it before they are stopped.
const zombieTTL = 15 * time.Second

// A worker process stands still for longer than its lease, as the database has it, wakes up, and tries to write by every verb: nothing
// changes. Then it works again under another id.
func TestZombieWritesNothing(t *testing.T) {
	t.Parallel()
	l := openLedger(t, pgtest.DB(t))
	zombie := start(t, orders{URL: l.url, Name: "zombie", Concurrency: 20, Heartbeat: heartbeat, TTL: zombieTTL})
	var batch []scheduler.NewTask
	for _, verb := range []string{"complete in a transaction", "report", "complete", "fail", "fail for good", "snooze", "panic",
		"complete at once", "fail at once", "fail for good at once", "snooze at once", "panic at once"} {
		batch = append(batch, scheduler.NewTask{Kind: "zombie", MaxAttempts: 1, Payload: job{Verb: verb}})
	}
	ids := l.submit(batch...)
	// Leased is not enough: a process that wakes up with a dead lease begins nothing.
	proc.Await(t, "all handlers to begin", func() bool { return read[int](l, `select count(*) from ledger.begun`) == len(batch) })
	first := read[string](l, `select id::text from scheduler.workers`)
	zombie.Signal(syscall.SIGSTOP)
	l.silent()

	heir := start(t, orders{URL: l.url, Name: "heir"})
	proc.Await(t, "all to complete elsewhere", func() bool {
		return read[int](l, `select count(*) from scheduler.tasks where state = 'completed'`) == len(batch)
	})
	heir.Signal(syscall.SIGTERM)
	if code := heir.Exit(); code != 0 {
		t.Errorf("the heir ended with code %d", code)
	}
	const everything = `select string_agg(t::text, e'\n' order by t.id) || (select count(*) from scheduler.task_logs) || (select count(*) from scheduler.attempts)
		from scheduler.tasks t where t.id = any ($1)`
	before := read[string](l, everything, ids)

	l.exec(`insert into ledger.gate values (true)`)
	zombie.Signal(syscall.SIGCONT)
	proc.Await(t, "all verdicts", func() bool { return read[int](l, `select count(*) from ledger.verdicts`) == len(batch) })
	again := l.submit(scheduler.NewTask{Kind: "tx"})[0]
	proc.Await(t, "a task in its next life", func() bool {
		return read[string](l, `select state::text from scheduler.tasks where id = $1`, again) == "completed"
	})
	if worker := read[string](l, `select worker_id::text from scheduler.tasks where id = $1`, again); worker == first {
		t.Error("it works under its old id")
	}
	zombie.Signal(syscall.SIGTERM) // it ends when all outcomes have been written, or refused
	if code := zombie.Exit(); code != 0 {
		t.Errorf("the zombie ended with code %d", code)
	}
	if after := read[string](l, everything, ids); after != before {
		t.Errorf("the zombie changed something.\nbefore:\n%s\nafter:\n%s", before, after)
	}
	for _, wrong := range []struct{ what, query string }{
		{"verbs in a transaction were not refused", `select count(*) from ledger.verdicts where verb in ('report', 'complete in a transaction') and error not like '%lease lost%'`},
		{"handlers were not told why", `select count(*) from ledger.verdicts where verb not like '% at once' and cause <> 'lease lost'`},
	} {
		if n := read[int](l, wrong.query); n != 0 {
			t.Errorf("%d %s", n, wrong.what)
		}
	}
	l.mustBalance()
}

// A worker process stands still in the middle of a transaction that has its task's row locked: its other tasks are rescued
// all the same, and the locked one has one effect in the end.
func TestZombieThatHoldsALock(t *testing.T) {
	t.Parallel()
	l := openLedger(t, pgtest.DB(t))
	zombie := start(t, orders{URL: l.url, Name: "zombie", Heartbeat: heartbeat, TTL: zombieTTL})
	held := l.submit(scheduler.NewTask{Kind: "zombie", MaxAttempts: 1, Payload: job{Verb: "hold"}})[0]
	proc.Await(t, "the lock", func() bool { return read[int](l, `select count(*) from ledger.verdicts where verb = 'holds'`) == 1 })
	var batch []scheduler.NewTask
	for range 5 {
		batch = append(batch, scheduler.NewTask{Kind: "zombie", MaxAttempts: 1, Payload: job{Verb: "complete"}})
	}
	others := l.submit(batch...)
	proc.Await(t, "all to run", func() bool { return read[int](l, `select count(*) from scheduler.tasks where state = 'running'`) == 6 })
	zombie.Signal(syscall.SIGSTOP)
	l.silent()
	start(t, orders{URL: l.url, Name: "heir"})
	proc.Await(t, "the others to complete elsewhere", func() bool {
		return read[int](l, `select count(*) from scheduler.tasks where state = 'completed' and id = any ($1)`, others) == len(others)
	})
	l.exec(`insert into ledger.gate values (true)`)
	zombie.Signal(syscall.SIGCONT)
	proc.Await(t, "the locked one to complete", func() bool {
		return read[string](l, `select state::text from scheduler.tasks where id = $1`, held) == "completed"
	})
	l.mustBalance()
}
