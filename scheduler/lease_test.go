package scheduler_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/sql"
)

// leaseArgs are the arguments of lease.sql from the beginning of the default queue.
func leaseArgs(worker scheduler.WorkerID, limit int, kinds ...string) []any {
	return []any{worker, scheduler.DefaultQueue, limit, kinds, -32768, "-infinity", scheduler.TaskID{}}
}

// Priority first, then the time at which it was due, then the id; in leases of any size.
func TestLeaseOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	past := time.Now().Add(-time.Hour)
	for range 60 {
		r.submit(scheduler.NewTask{Priority: rand.IntN(5) - 2, RunAt: past.Add(time.Duration(rand.IntN(3)) * time.Minute)})
	}
	want := column[scheduler.TaskID](r, `select id from scheduler.tasks order by priority, run_at, id`)
	var got []scheduler.TaskID
	for n := 1; len(got) < len(want); n++ {
		leased := r.lease(worker, n)
		if len(leased) == 0 {
			t.Fatalf("nothing after %d tasks", len(got))
		}
		for _, task := range leased {
			got = append(got, task.Task)
		}
	}
	if !slices.Equal(want, got) {
		t.Errorf("leased\n%v\nwant\n%v", got, want)
	}
}

func TestLeaseTellsAllOfTheTask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker("q")
	id := r.submit(scheduler.NewTask{Queue: "q", Payload: map[string]int{"n": 1}, Priority: 7, MaxAttempts: 4, Timeout: 1500 * time.Millisecond})
	got := r.leaseFrom(worker, "q", 5)
	if len(got) != 1 {
		t.Fatalf("%d tasks", len(got))
	}
	task, row := got[0], r.task(id)
	if task.Lease != (scheduler.Lease{Task: id, Queue: "q", Worker: worker, Attempt: 1}) || task.Kind != "k" || string(task.Payload) != `{"n": 1}` ||
		task.Failures != 0 || task.MaxAttempts != 4 || task.Priority != 7 || task.Timeout != 1500*time.Millisecond ||
		!task.RunAt.Equal(row.RunAt) || !task.CreatedAt.Equal(row.CreatedAt) || task.Schedule != "" || !task.TickAt.IsZero() {
		t.Errorf("leased %+v", task)
	}
	if row.State != scheduler.Running || row.Attempt != 1 || *row.WorkerID != worker || row.Revision != 2 || row.FinishedAt != nil {
		t.Errorf("stored %+v", row)
	}
	if ids := read[[]scheduler.TaskID](r, `select task_ids from scheduler.leases where id = $1 and worker_id = $2 and queue = 'q'`, task.Group, worker); !slices.Equal(ids, []scheduler.TaskID{id}) {
		t.Errorf("lease row holds %v", ids)
	}
}

// Whatever must not be leased stays where it is.
func TestLeasePassesBy(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(r *rig, worker scheduler.WorkerID){
		"another kind":  func(r *rig, _ scheduler.WorkerID) { r.exec(`update scheduler.tasks set kind = 'other'`) },
		"another queue": func(r *rig, _ scheduler.WorkerID) { r.exec(`update scheduler.tasks set queue = 'other'`) },
		"paused queue": func(r *rig, _ scheduler.WorkerID) {
			must(r.t, second(r.client.PauseQueue(r.ctx, scheduler.DefaultQueue)))
		},
		"expired": func(r *rig, _ scheduler.WorkerID) {
			r.exec(`update scheduler.tasks set expires_at = now() - interval '1 ms'`)
		},
		"not due": func(r *rig, _ scheduler.WorkerID) {
			r.exec(`update scheduler.tasks set state = 'scheduled', run_at = now() + interval '1 h'`)
		},
		"due, unpromoted": func(r *rig, _ scheduler.WorkerID) { r.exec(`update scheduler.tasks set state = 'scheduled'`) },
		"no such worker":  func(r *rig, worker scheduler.WorkerID) { r.exec(`delete from scheduler.workers where id = $1`, worker) },
		"running":         func(r *rig, _ scheduler.WorkerID) { r.lease(r.worker(), 10) },
		"cancelled":       func(r *rig, _ scheduler.WorkerID) { r.exec(`select scheduler.cancel(id) from scheduler.tasks`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			worker := r.worker()
			ids := r.submitN(3, scheduler.NewTask{})
			prepare(r, worker)
			before := r.row(ids[0])
			if got := r.lease(worker, 10); len(got) != 0 {
				t.Errorf("leased %+v", got)
			}
			if after := r.row(ids[0]); fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("changed from %v to %v", before, after)
			}
			if n := read[int](r, `select count(*) from scheduler.leases where worker_id = $1`, worker); n != 0 {
				t.Errorf("%d lease rows for nothing", n)
			}
		})
	}
}

func TestPausedQueueIsLeasedAgainWhenResumed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	r.submit(scheduler.NewTask{})
	since, err := r.client.PauseQueue(r.ctx, scheduler.DefaultQueue)
	must(t, err)
	if again, err := r.client.PauseQueue(r.ctx, scheduler.DefaultQueue); err != nil || !again.Equal(since) {
		t.Errorf("paused again: since %s, %v, want %s", again, err, since)
	}
	if orders, err := r.client.Heartbeat(r.ctx, worker, scheduler.Beat{Held: []int64{}}); err != nil || !slices.Equal(orders.Paused, []scheduler.Queue{scheduler.DefaultQueue}) {
		t.Errorf("heartbeat: %+v, %v", orders, err)
	}
	for _, want := range []bool{true, false} {
		if was, err := r.client.ResumeQueue(r.ctx, scheduler.DefaultQueue); err != nil || was != want {
			t.Errorf("resumed: was paused %v, %v, want %v", was, err, want)
		}
	}
	if got := r.lease(worker, 1); len(got) != 1 {
		t.Errorf("%d tasks", len(got))
	}
}

// Several queues in one call, each with its limit; in the order asked.
func TestLeaseFromSeveralQueues(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker("a", "b")
	r.submitN(5, scheduler.NewTask{Queue: "a"})
	r.submitN(5, scheduler.NewTask{Queue: "b"})
	got, err := r.client.Lease(r.ctx, worker, []string{"k", "unused"}, []scheduler.Ask{{Queue: "b", Limit: 2}, {Queue: "empty", Limit: 9}, {Queue: "a", Limit: 9}})
	must(t, err)
	var queues []scheduler.Queue
	for _, task := range got {
		queues = append(queues, task.Queue)
	}
	if !slices.Equal(queues, []scheduler.Queue{"b", "b", "a", "a", "a", "a", "a"}) {
		t.Errorf("leased from %v", queues)
	}
	if none, err := r.client.Lease(r.ctx, worker, nil, []scheduler.Ask{{Queue: "a", Limit: 1}}); err != nil || len(none) != 0 {
		t.Errorf("without kinds: %v, %v", none, err)
	}
}

// Ten thousand leases of one task each never return two, whatever the planner is told and although it knows nothing of the table.
func TestLeaseRespectsItsLimitUnderHostilePlans(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`alter table scheduler.tasks set (autovacuum_enabled = false)`) // no statistics, ever
	worker := r.worker()
	const leases = 2500
	for name, settings := range map[string][]string{
		"as pinned":         {"enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off"},
		"only seq scans":    {"enable_indexscan=off", "enable_indexonlyscan=off", "enable_bitmapscan=off", "enable_tidscan=off", "enable_nestloop=off"},
		"generic, parallel": {"plan_cache_mode=force_generic_plan", "force_parallel_mode=on", "enable_sort=off", "parallel_setup_cost=0"},
		"hash and merge":    {"enable_nestloop=off", "enable_material=off", "enable_tidscan=off", "random_page_cost=1000"},
	} {
		conn, err := pgx.Connect(r.ctx, r.url)
		must(t, err)
		for _, setting := range settings {
			_, err := conn.Exec(r.ctx, "set "+setting)
			must(t, err)
		}
		r.submitN(leases/5+1, scheduler.NewTask{})
		for i := range leases {
			rows, err := conn.Query(r.ctx, sql.Lease, leaseArgs(worker, 1, "k")...)
			must(t, err)
			n := 0
			for rows.Next() {
				n++
			}
			must(t, rows.Err())
			if n != 1 {
				t.Fatalf("%s: lease %d of 1 took %d tasks", name, i, n)
			}
			if i%5 != 0 { // most are handed back, so that updated and dead rows lie about
				_, err := conn.Exec(r.ctx, `update scheduler.tasks set state = 'ready', priority = $2 where ctid = any (array(
					select ctid from scheduler.tasks where state = 'running' and worker_id = $1 limit 1))`, worker, rand.IntN(3))
				must(t, err)
			}
		}
		must(t, conn.Close(r.ctx))
		r.exec(`delete from scheduler.tasks`)
		r.exec(`delete from scheduler.leases`)
	}
}

// Six leasers at once, while others reprioritise, report on, postpone and cancel the same tasks: each task is leased once an attempt,
// none is forgotten, and each running task stands in a lease row of its worker (I10).
func TestConcurrentLeasesTakeEachTaskOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	total, leasers := 20000, 6
	if testing.Short() {
		total = 4000
	}
	r.submitN(total, scheduler.NewTask{})
	stop := make(chan struct{})
	var vandals sync.WaitGroup // end with stop
	for _, statement := range []string{
		`update scheduler.tasks set priority = -priority - 1, revision = revision + 1 where ctid = any (array(select ctid from scheduler.tasks where ready order by random() limit 20 for update skip locked))`,
		`update scheduler.tasks set progress_current = 1, revision = revision + 1 where ctid = any (array(select ctid from scheduler.tasks where state = 'running' limit 50 for update skip locked))`,
		`update scheduler.tasks set run_at = run_at - interval '1 s' where ctid = any (array(select ctid from scheduler.tasks where ready limit 20))`,
	} {
		vandals.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := r.db.Exec(r.ctx, statement); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	seen := leaseAll(t, r, leasers, total)
	close(stop)
	vandals.Wait()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("task %s was leased %d times", id, n)
		}
	}
	if len(seen) != total {
		t.Errorf("%d of %d tasks were leased", len(seen), total)
	}
	checkLeaseRows(r)
	if n := read[int](r, `select count(*) from scheduler.tasks where state <> 'running' or attempt <> 1`); n != 0 {
		t.Errorf("%d tasks are not running their first attempt", n)
	}
}

// leaseAll leases with several workers, each a client of its own, until all tasks are taken, and counts how often each was.
func leaseAll(t *testing.T, r *rig, leasers, total int) map[scheduler.TaskID]int {
	seen := map[scheduler.TaskID]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	deadline := time.Now().Add(4 * patience)
	for range leasers {
		client, worker := r.open(scheduler.Config{MaxConns: 1}), r.worker()
		all.Go(func() {
			for {
				got, err := client.Lease(r.ctx, worker, []string{"k"}, []scheduler.Ask{{Queue: scheduler.DefaultQueue, Limit: 1 + rand.IntN(40)}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, task := range got {
					seen[task.Task]++
				}
				done := len(seen) >= total
				mu.Unlock()
				if done || time.Now().After(deadline) {
					return
				}
			}
		})
	}
	all.Wait()
	return seen
}

// checkLeaseRows holds invariant I10: a running task stands in a lease row of its worker, or nobody would ever rescue it.
func checkLeaseRows(r *rig) {
	r.t.Helper()
	loose := column[scheduler.TaskID](r, `
		select t.id from scheduler.tasks t where t.state = 'running' and not exists (
			select from scheduler.leases l where l.worker_id = t.worker_id and l.queue = t.queue and t.id = any (l.task_ids))`)
	if len(loose) > 0 {
		r.t.Errorf("%d running tasks without a lease row, such as %s", len(loose), loose[0])
	}
}

// A task that is not yet committed, or locked by somebody, is passed by and not waited for.
func TestLeaseWaitsForNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	ids := r.submitN(3, scheduler.NewTask{})
	slices.SortFunc(ids, func(a, b scheduler.TaskID) int { return cmp.Compare(a.String(), b.String()) })
	must(t, r.tx(func(tx pgx.Tx) error {
		if _, err := tx.Exec(r.ctx, `select 1 from scheduler.tasks where id = $1 for no key update`, ids[0]); err != nil {
			return err
		}
		must(t, second(r.client.SubmitTx(r.ctx, tx, scheduler.NewTask{Kind: "k", Priority: -1})))
		got := r.lease(worker, 10)
		if len(got) != 2 || got[0].Task != ids[1] || got[1].Task != ids[2] {
			t.Errorf("leased %+v, want the two that nobody has locked", got)
		}
		return nil
	}))
	if got := r.lease(worker, 10); len(got) != 2 || got[0].Priority != -1 {
		t.Errorf("leased %+v, want what was committed meanwhile, first", got)
	}
}

// Many tasks that this worker can't run stand before those that it can: it finds them all the same, and what comes to the head later.
func TestLeaseBehindManyOfOtherKinds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client, worker := r.open(scheduler.Config{}), r.worker()
	r.exec(`insert into scheduler.tasks (kind, run_at) select 'foreign', now() - interval '1 h' from generate_series(1, 150000)`)
	lease := func() []scheduler.LeasedTask {
		got, err := client.Lease(r.ctx, worker, []string{"k"}, []scheduler.Ask{{Queue: scheduler.DefaultQueue, Limit: 1}})
		must(t, err)
		return got
	}
	if got := lease(); len(got) != 0 {
		t.Fatalf("leased %+v", got)
	}
	for what, task := range map[string]scheduler.NewTask{
		"last":                 {},
		"of higher priority":   {Priority: -1},
		"due before all":       {RunAt: time.Unix(1, 0)},
		"again at the far end": {Priority: 1},
	} {
		id := r.submit(task)
		await(t, "the task "+what, func() bool {
			got := lease()
			return len(got) == 1 && got[0].Task == id
		})
	}
}

// A task that stands for a tick says so to its worker.
func TestLeaseTellsOfTheTick(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(scheduler.NewSchedule{Name: "s", Expression: "@every 1m"})
	r.exec(`update scheduler.schedules set next_run_at = now() - interval '1 s'`)
	tick := *r.schedule("s").NextRunAt
	r.fire(r.client)
	if got := r.lease(r.worker(), 1); len(got) != 1 || got[0].Schedule != "s" || !got[0].TickAt.Equal(tick) {
		t.Errorf("%+v, want the tick at %s", got, tick)
	}
}
