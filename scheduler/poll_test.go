package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// ages is how long a poll waits that is to end for another reason.
const ages = 10 * patience

// poll is what a remote worker of kind k asks of the default queue.
func poll(id scheduler.WorkerID, wait time.Duration) scheduler.Poll {
	return scheduler.Poll{Max: 1, Wait: wait, Worker: scheduler.WorkerInfo{ID: id, Name: "remote-" + id.String()[:4], Queues: []scheduler.Queue{scheduler.DefaultQueue},
		Kinds: []string{"k"}, Slots: 1, TTL: time.Minute}}
}

// pollNow takes what there is.
func (r *rig) pollNow(p scheduler.Poll) []scheduler.LeasedTask {
	r.t.Helper()
	got, err := r.client.Poll(r.ctx, p)
	must(r.t, err)
	return got.Tasks
}

// remoteLease returns one task that a new remote worker has.
func (r *rig) remoteLease(task scheduler.NewTask) scheduler.LeasedTask {
	r.t.Helper()
	id := r.submit(task)
	got := r.pollNow(poll(scheduler.NewWorkerID(), 0))
	if len(got) != 1 || got[0].Task != id {
		r.t.Fatalf("leased %+v, want %s", got, id)
	}
	return got[0]
}

// age makes leases of a worker as old as if they had been taken a minute ago.
func (r *rig) age(worker scheduler.WorkerID) {
	r.t.Helper()
	r.exec(`update scheduler.tasks set started_at = started_at - interval '1 min' where worker_id = $1 and state = 'running'`, worker)
	r.exec(`update scheduler.leases set leased_at = leased_at - interval '1 min', timeout_at = timeout_at - interval '1 min' where worker_id = $1`, worker)
}

func (r *rig) leaseRows(worker scheduler.WorkerID) int {
	r.t.Helper()
	return read[int](r, `select count(*) from scheduler.leases where worker_id = $1`, worker)
}

// A thousand workers wait at two processes. Each of a thousand tasks is had by one worker, and each worker gets one: nobody overtakes.
func TestAThousandPollsAreServedEachATask(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 1000
	clients := []*scheduler.Client{r.client, r.open(scheduler.Config{})}
	var done sync.WaitGroup
	var mu sync.Mutex
	got := map[scheduler.TaskID]scheduler.WorkerID{}
	for i := range n {
		done.Go(func() { // ends when it was served
			p := poll(scheduler.NewWorkerID(), ages)
			polled, err := clients[i%2].Poll(r.ctx, p)
			if err != nil || len(polled.Tasks) != 1 {
				t.Errorf("%d tasks, %v", len(polled.Tasks), err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[polled.Tasks[0].Task] = p.Worker.ID
		})
	}
	await(t, "all wait", func() bool { return clients[0].Counts().Polls+clients[1].Counts().Polls == n })
	asked := clients[0].Counts().Pools["hot"].Acquires
	t.Logf("%d polls asked the database %d times", n/2, asked)
	if asked > n/10 {
		t.Errorf("%d polls asked the database for tasks %d times", n/2, asked)
	}
	r.submitN(n, scheduler.NewTask{})
	done.Wait()
	if len(got) != n {
		t.Errorf("%d tasks for %d workers", len(got), n)
	}
	if polls := clients[0].Counts().Polls + clients[1].Counts().Polls; polls != 0 {
		t.Errorf("%d polls are left over", polls)
	}
}

// The longest waiting is served first, also among lines of different kinds. Nothing makes the process look for tasks but what it
// submits itself: a look for one line just then would serve that one.
func TestTheLongestWaitingIsServedFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{PollOnly: true, Poll: time.Minute})
	served := make(chan int, 10)
	for i := range 6 {
		p := poll(scheduler.NewWorkerID(), ages)
		if i%2 == 1 {
			p.Worker.Kinds = []string{"k", "other"}
		}
		go func() { // ends when it was served; received below
			if polled, err := client.Poll(r.ctx, p); err != nil || len(polled.Tasks) != 1 {
				t.Errorf("poll %d: %d tasks, %v", i, len(polled.Tasks), err)
			}
			served <- i
		}()
		await(t, "it waits", func() bool { return client.Counts().Polls == i+1 })
	}
	await(t, "nothing is under way", client.DispatchIdle)
	for i := range 6 {
		must(t, second(client.Submit(r.ctx, scheduler.NewTask{Kind: "k"})))
		if got := <-served; got != i {
			t.Errorf("poll %d was served, want %d", got, i)
		}
		await(t, "nothing is under way", client.DispatchIdle)
	}
}

func TestQueuesAreTakenFromInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.submit(scheduler.NewTask{Queue: "low"})
		r.submit(scheduler.NewTask{Queue: "high"})
	}
	p := poll(scheduler.NewWorkerID(), ages)
	p.Worker.Queues, p.Max = []scheduler.Queue{"high", "none", "low"}, 4
	var got []scheduler.Queue
	for _, task := range r.pollNow(p) {
		got = append(got, task.Queue)
	}
	if want := "[high high high low]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if rest := r.pollNow(p); len(rest) != 2 {
		t.Errorf("%d are left, want 2", len(rest))
	}
}

// What is for no kind of those who wait stays, and is had by whoever comes for it.
func TestAPollGetsItsKindsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := r.submit(scheduler.NewTask{Kind: "other"})
	if got := r.pollNow(poll(scheduler.NewWorkerID(), 0)); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	p := poll(scheduler.NewWorkerID(), 0)
	p.Worker.Kinds = []string{"z", "other", "z"}
	if got := r.pollNow(p); len(got) != 1 || got[0].Task != other {
		t.Errorf("%+v", got)
	}
}

func TestAPollThatIsGivenUpTakesNothingAlong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.patient() // its lease waits until the test has seen it wait
	ctx, leave := context.WithCancel(r.ctx)
	ended := make(chan error, 1)
	go func() { // received below
		_, err := client.Poll(ctx, poll(scheduler.NewWorkerID(), ages))
		ended <- err
	}()
	await(t, "it waits", func() bool { return client.Counts().Polls == 1 && client.DispatchIdle() })
	tx := r.begin() // a lease can't be written now
	must(t, second(tx.Exec(r.ctx, `lock table scheduler.leases in exclusive mode`)))
	id := r.submit(scheduler.NewTask{})
	await(t, "its lease is under way", func() bool {
		return read[bool](r, `select exists (select from pg_locks where not granted and relation = 'scheduler.leases'::regclass)`)
	})
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	must(t, tx.Rollback(r.ctx))
	await(t, "it is handed back", func() bool {
		task := r.task(id)
		return task.State == scheduler.Ready && task.Attempt == 1
	})
	if n := client.Counts().Polls; n != 0 {
		t.Errorf("%d polls are left over", n)
	}
	if got := r.pollNow(poll(scheduler.NewWorkerID(), 0)); len(got) != 1 || got[0].Attempt != 2 || got[0].Failures != 0 {
		t.Errorf("%+v", got)
	}
}

// The server keeps a worker alive while it waits; one that was declared dead in spite of it is entered anew.
func TestAWaitingWorkerIsKeptAlive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := poll(scheduler.NewWorkerID(), ages)
	p.Worker.TTL = 5 * time.Second
	served := make(chan scheduler.Polled, 1)
	go func() { // received below
		got, _ := r.client.Poll(r.ctx, p)
		served <- got
	}()
	seen := func() time.Time {
		list := column[time.Time](r, `select seen_at from scheduler.workers where id = $1`, p.Worker.ID)
		if len(list) == 0 {
			return time.Time{}
		}
		return list[0]
	}
	await(t, "it is there", func() bool { return !seen().IsZero() })
	first := seen()
	await(t, "it is renewed", func() bool { return seen().After(first) })
	r.exec(`delete from scheduler.workers where id = $1`, p.Worker.ID)
	await(t, "it is entered anew", func() bool { return !seen().IsZero() })
	r.submit(scheduler.NewTask{})
	if got := <-served; len(got.Tasks) != 1 {
		t.Errorf("%+v", got)
	}
}

// A worker that comes to wait while the server has nothing to look after for a minute is kept alive all the same.
func TestAWorkerThatComesBackIsKeptAlive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, leave := context.WithCancel(r.ctx)
	p := poll(scheduler.NewWorkerID(), ages)
	p.Worker.TTL = 5 * time.Second
	var gone sync.WaitGroup
	wait := func(ctx context.Context) {
		gone.Go(func() { _, _ = r.client.Poll(ctx, p) }) // ends with ctx
		await(t, "it waits", func() bool { return r.client.Counts().Polls == 1 })
	}
	wait(ctx)
	leave()
	gone.Wait()
	await(t, "nobody is to be renewed", func() bool { return time.Until(r.client.DispatchRests()) > patience+5*time.Second })
	ctx, leave = context.WithCancel(r.ctx)
	defer gone.Wait()
	defer leave()
	wait(ctx)
	seen := func() time.Time {
		return read[time.Time](r, `select seen_at from scheduler.workers where id = $1`, p.Worker.ID)
	}
	first := seen()
	await(t, "it is renewed", func() bool { return seen().After(first) })
}

func TestAWaitingWorkerHearsOfQuietAndStop(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, command := range []scheduler.Command{scheduler.CommandQuiet, scheduler.CommandStop} {
		p := poll(scheduler.NewWorkerID(), ages)
		served := make(chan scheduler.Polled, 1)
		go func() { // received below
			got, _ := r.client.Poll(r.ctx, p)
			served <- got
		}()
		await(t, "it waits", func() bool { return r.client.Counts().Polls == 1 })
		must(t, r.client.Command(r.ctx, p.Worker.ID, command))
		if got := <-served; got.Command != command || len(got.Tasks) != 0 {
			t.Errorf("%+v", got)
		}
		id := r.submit(scheduler.NewTask{})
		if got, err := r.client.Poll(r.ctx, p); err != nil || got.Command != command || len(got.Tasks) != 0 {
			t.Errorf("%+v %v", got, err)
		}
		must(t, second(r.client.Cancel(r.ctx, id, "")))
	}
}

// Whoever told a worker to be quiet gives it nothing more, though no announcement comes back.
func TestWhoToldAWorkerToBeQuietNeedsNoAnnouncement(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{PollOnly: true})
	p := poll(scheduler.NewWorkerID(), 0)
	must(t, second(client.Poll(r.ctx, p))) // it is known here by now, and trusted for a while
	r.submit(scheduler.NewTask{})
	for want, command := range []scheduler.Command{scheduler.CommandQuiet, scheduler.CommandRun} { // so many tasks
		must(t, client.Command(r.ctx, p.Worker.ID, command))
		if got, err := client.Poll(r.ctx, p); err != nil || got.Command != command || len(got.Tasks) != want {
			t.Errorf("%s: %+v %v", command, got, err)
		}
	}
}

// With nothing announced, tasks are found all the same.
func TestPollsAreServedWithoutAnnouncements(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{PollOnly: true, Poll: 20 * time.Millisecond})
	served := make(chan scheduler.Polled, 1)
	go func() { // received below
		got, _ := client.Poll(r.ctx, poll(scheduler.NewWorkerID(), ages))
		served <- got
	}()
	await(t, "it waits", func() bool { return client.Counts().Polls == 1 })
	r.exec(`insert into scheduler.tasks (kind) values ('k')`)
	if got := <-served; len(got.Tasks) != 1 {
		t.Errorf("%+v", got)
	}
}

// A client that is closed answers all who wait.
func TestCloseAnswersWhoWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.open(scheduler.Config{})
	served := make(chan error, 1)
	go func() { // received below
		_, err := client.Poll(r.ctx, poll(scheduler.NewWorkerID(), ages))
		served <- err
	}()
	await(t, "it waits", func() bool { return client.Counts().Polls == 1 })
	client.Close()
	<-served
}

func TestStraysAreHandedBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for how, tell := range map[string]func(worker scheduler.WorkerID, held []scheduler.Lease){
		"heartbeat": func(worker scheduler.WorkerID, held []scheduler.Lease) {
			must(t, second(r.client.RemoteHeartbeat(r.ctx, worker, held, 0)))
		},
		"poll": func(worker scheduler.WorkerID, held []scheduler.Lease) {
			p := poll(worker, 0)
			p.Worker.Kinds, p.Tells, p.Held = []string{"none"}, true, held // other kinds: it is renewed
			r.pollNow(p)
		},
	} {
		kept, stray := r.remoteLease(scheduler.NewTask{}), scheduler.LeasedTask{}
		worker := kept.Worker
		id := r.submit(scheduler.NewTask{})
		for _, task := range r.pollNow(poll(worker, 0)) {
			stray = task
		}
		if stray.Task != id {
			t.Fatal(how)
		}
		held := []scheduler.Lease{kept.Lease}
		tell(worker, held)
		if got := r.state(stray.Task); got != scheduler.Running {
			t.Errorf("%s: a young one is %s", how, got)
		}
		r.age(worker)
		if how == "poll" { // what is known of the worker may be a moment old
			p := poll(worker, 0)
			p.Worker.Kinds, p.Worker.Name = []string{"none"}, "doubted"
			r.client.ForgetRemotes()
			r.pollNow(p)
			if got := r.state(stray.Task); got != scheduler.Running {
				t.Errorf("a poll that does not tell: %s", got)
			}
			r.client.ForgetRemotes()
		}
		tell(worker, held)
		if got := r.state(stray.Task); got != scheduler.Ready {
			t.Errorf("%s: the stray is %s", how, got)
		}
		if got := r.state(kept.Task); got != scheduler.Running {
			t.Errorf("%s: the kept one is %s", how, got)
		}
		if n := r.leaseRows(worker); n != 1 && n != 2 {
			t.Errorf("%s: %d lease rows", how, n)
		}
		tell(worker, held)
		if n := r.leaseRows(worker); how == "heartbeat" && n != 1 {
			t.Errorf("%s: %d lease rows, want 1", how, n)
		}
		if _, err := r.client.Settle(r.ctx, scheduler.Settling{Lease: stray.Lease, Verb: scheduler.VerbComplete}); !errors.Is(err, scheduler.ErrLeaseLost) {
			t.Errorf("%s: the stray's lease: %v", how, err)
		}
		must(t, second(r.client.Settle(r.ctx, scheduler.Settling{Lease: kept.Lease, Verb: scheduler.VerbComplete})))
		must(t, second(r.client.Cancel(r.ctx, stray.Task, "")))
	}
}

func TestAHeartbeatKeepsManyLeasesAndTellsOfTheLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.submitN(500, scheduler.NewTask{})
	p := poll(scheduler.NewWorkerID(), 0)
	p.Max = 500
	var held []scheduler.Lease
	for _, task := range r.pollNow(p) {
		held = append(held, task.Lease)
	}
	if len(held) != 500 {
		t.Fatalf("%d leases", len(held))
	}
	must(t, second(r.client.Cancel(r.ctx, held[7].Task, "")))
	must(t, second(r.client.Settle(r.ctx, scheduler.Settling{Lease: held[8], Verb: scheduler.VerbComplete})))
	orders, err := r.client.RemoteHeartbeat(r.ctx, p.Worker.ID, held, 1<<20)
	must(t, err)
	if len(orders.Lost) != 1 || orders.Lost[0] != held[8] || len(orders.Cancelled) != 1 || orders.Cancelled[0] != held[7] || orders.Command != scheduler.CommandRun {
		t.Errorf("%+v", orders)
	}
	if running := read[int](r, `select running from scheduler.workers where id = $1 and memory_bytes = 1 << 20`, p.Worker.ID); running != 500 {
		t.Errorf("%d running", running)
	}
	r.kill(p.Worker.ID)
	r.maintain(r.client)
	await(t, "all are given back", func() bool { return read[int](r, `select count(*) from scheduler.tasks where state = 'running'`) == 0 })
	orders, err = r.client.RemoteHeartbeat(r.ctx, p.Worker.ID, held, 0)
	must(t, err)
	if len(orders.Lost) != 500 || !orders.ExpiresAt.IsZero() {
		t.Errorf("%d lost, %s", len(orders.Lost), orders.ExpiresAt)
	}
}

func TestARemoteWorkerThatLeavesHandsBackAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	task := r.remoteLease(scheduler.NewTask{})
	must(t, r.client.Leave(r.ctx, task.Worker))
	if got := r.state(task.Task); got != scheduler.Ready {
		t.Errorf("it is %s", got)
	}
	if n := read[int](r, `select (select count(*) from scheduler.workers) + (select count(*) from scheduler.leases where worker_id = $1)`, task.Worker); n > 1 {
		t.Errorf("%d rows are left", n)
	}
	must(t, r.client.Leave(r.ctx, task.Worker))
	must(t, r.client.Leave(r.ctx, scheduler.NewWorkerID()))
}

// Who keeps alive those who wait may learn that a worker is unknown since it has left meanwhile: it does not come back by that.
func TestAWorkerThatLeftIsNotEnteredAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := poll(scheduler.NewWorkerID(), 0)
	r.pollNow(p)
	must(t, r.client.RenewedAsUnknown(r.ctx, p.Worker)) // as one that was declared dead
	if n := read[int](r, `select count(*) from scheduler.workers`); n != 1 {
		t.Fatalf("%d workers", n)
	}
	must(t, r.client.Leave(r.ctx, p.Worker.ID))
	must(t, r.client.RenewedAsUnknown(r.ctx, p.Worker))
	if n := read[int](r, `select count(*) from scheduler.workers`); n != 0 {
		t.Errorf("%d workers", n)
	}
}

// pollUntilServed has a worker poll until it is served; what it got is received from the channel.
func (r *rig) pollUntilServed(client *scheduler.Client, p scheduler.Poll) <-chan scheduler.Polled {
	r.t.Helper()
	before, served := client.Counts().Polls, make(chan scheduler.Polled, 1)
	go func() { // ends when it was served, or with the test
		got, _ := client.Poll(r.ctx, p)
		served <- got
	}()
	await(r.t, "it waits", func() bool { return client.Counts().Polls == before+1 && client.DispatchIdle() })
	return served
}

// gets holds that a poll is answered with one task.
func (r *rig) gets(served <-chan scheduler.Polled, id scheduler.TaskID) {
	r.t.Helper()
	select {
	case got := <-served:
		if len(got.Tasks) != 1 || got.Tasks[0].Task != id {
			r.t.Errorf("%+v, want task %s", got, id)
		}
	case <-time.After(patience):
		r.t.Error("it gets nothing")
	}
}

// Somebody takes out a worker that is idle: its poll is answered, and its next one comes while its row goes.
func TestAWorkerThatPollsWhileItIsTakenOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.patient() // it waits for what the test has locked
	p := poll(scheduler.NewWorkerID(), ages)
	first := r.pollUntilServed(client, p)
	tx := r.begin() // a worker can't be taken out of the database now
	must(t, second(tx.Exec(r.ctx, `lock table scheduler.cancellations in exclusive mode`)))
	left := make(chan error, 1)
	go func() { left <- client.Leave(r.ctx, p.Worker.ID) }() // received below
	if got := <-first; len(got.Tasks) != 0 {
		t.Errorf("%+v", got)
	}
	await(t, "it is being taken out", func() bool {
		return read[bool](r, `select exists (select from pg_locks where not granted and relation = 'scheduler.cancellations'::regclass)`)
	})
	served := r.pollUntilServed(client, p)
	must(t, tx.Rollback(r.ctx))
	must(t, <-left)
	id := r.submit(scheduler.NewTask{})
	r.gets(served, id)
}

// A poll ends while the next one of its worker, which was taken out meanwhile, asks who that is: it says what was known.
func TestAPollThatEndsWhileItsWorkerIsEntered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.patient()
	p, stop := poll(scheduler.NewWorkerID(), ages), make(chan struct{})
	p.Stop = stop
	first := r.pollUntilServed(client, p)
	tx := r.begin() // nobody can be entered now
	must(t, second(tx.Exec(r.ctx, `lock table scheduler.workers in exclusive mode`)))
	client.ForgetRemotes()
	next := make(chan error, 1)
	go func() { next <- second(client.Poll(r.ctx, poll(p.Worker.ID, 0))) }() // received below
	await(t, "the next one is under way", func() bool {
		return read[bool](r, `select exists (select from pg_locks where not granted and relation = 'scheduler.workers'::regclass)`)
	})
	close(stop)
	if got := <-first; got.Command != scheduler.CommandRun || got.ExpiresAt.IsZero() {
		t.Errorf("%+v", got)
	}
	must(t, tx.Rollback(r.ctx))
	must(t, <-next)
}

// Who is refused, or asks while the database is away, is not kept in mind.
func TestWhoCanNotBeEnteredIsForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if got, err := r.client.Poll(r.ctx, poll(r.worker(), 0)); err == nil {
		t.Errorf("a worker that is not remote got %+v", got)
	}
	away, cancel := context.WithCancel(r.ctx)
	cancel()
	p := poll(scheduler.NewWorkerID(), 0)
	if got, err := r.client.Poll(away, p); err == nil {
		t.Errorf("without a database it got %+v", got)
	}
	if n := r.client.Remotes(); n != 0 {
		t.Errorf("%d are known", n)
	}
	r.pollNow(p)
	if n := r.client.Remotes(); n != 1 {
		t.Errorf("then %d are known", n)
	}
}

// A worker that waits, and was declared dead all the same, gets what was announced before it is entered anew.
func TestAWorkerThatIsEnteredAnewIsServed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := poll(scheduler.NewWorkerID(), ages)
	served := r.pollUntilServed(r.client, p)
	r.exec(`delete from scheduler.workers where id = $1`, p.Worker.ID)
	asked := r.client.Counts().Pools["hot"].Acquires
	submitted := r.open(scheduler.Config{}) // what another process submits is announced by the database alone
	id, err := submitted.Submit(r.ctx, scheduler.NewTask{Kind: "k"})
	must(t, err)
	await(t, "it was passed over", func() bool { return r.client.Counts().Pools["hot"].Acquires > asked && r.client.DispatchIdle() })
	r.exec(`select pg_notify('scheduler_control', $1::uuid::text)`, p.Worker.ID)
	r.gets(served, id.ID)
}

// A worker that is never idle is rid of its old lease rows all the same, and of what it does not know of.
func TestABusyWorkerIsSwept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := poll(scheduler.NewWorkerID(), 0)
	p.Tells = true
	lost := r.submit(scheduler.NewTask{})
	r.pollNow(p)              // whose answer does not arrive
	r.client.AgeRemotes(0.95) // the rest of the time passes while it works
	for began := time.Now(); r.task(lost).State == scheduler.Running; {
		if time.Since(began) > patience {
			t.Fatalf("%d lease rows, and the task whose answer was lost still runs", r.leaseRows(p.Worker.ID))
		}
		r.submit(scheduler.NewTask{Priority: -1})
		r.age(p.Worker.ID)
		got := r.pollNow(p)
		for _, task := range got {
			_, err := r.client.Settle(r.ctx, scheduler.Settling{Lease: task.Lease, Verb: scheduler.VerbComplete})
			must(t, err)
		}
		select {
		case <-r.ctx.Done():
			t.Fatal(r.ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	if n := r.leaseRows(p.Worker.ID); n > 5 {
		t.Errorf("%d lease rows", n)
	}
}

// However many large tasks a worker asks for, an answer is bounded, and what is left is there for others at once.
func TestAnAnswerIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	queues := []scheduler.Queue{"default", "b", "c"}
	for _, queue := range queues {
		r.exec(`insert into scheduler.tasks (id, queue, kind, payload, state, run_at)
			select gen_random_uuid(), $1, 'k', to_jsonb(repeat('x', 250000)), 'ready', now() from generate_series(1, 40)`, queue)
	}
	total := 0
	for total < 40*len(queues) {
		p := poll(scheduler.NewWorkerID(), 20*time.Second)
		p.Max, p.Worker.Queues = 500, queues
		size, got := 0, r.pollNow(p)
		for _, task := range got {
			size += len(task.Payload)
		}
		if size > 16<<20 || len(got) == 0 {
			t.Fatalf("%d tasks with %d bytes", len(got), size)
		}
		total += len(got)
	}
	r.submitN(100, scheduler.NewTask{})
	p := poll(scheduler.NewWorkerID(), 0)
	p.Max = 500
	if got := r.pollNow(p); len(got) != 100 {
		t.Errorf("%d small tasks", len(got))
	}
}

// What is said under a lease renews its worker only if that one is remote: of a process that was killed, as one that pushes, the other
// tasks must be given back. And nobody takes such a worker over, or out, by its id.
func TestOnlyRemoteWorkersAreRenewedByOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	worker := r.worker()
	r.submit(scheduler.NewTask{})
	lease := r.lease(worker, 1)[0].Lease
	r.age(worker)
	r.exec(`update scheduler.workers set seen_at = seen_at - interval '5 s', running = 7 where id = $1`, worker)
	seen := read[time.Time](r, `select seen_at from scheduler.workers where id = $1`, worker)

	beat := scheduler.Settling{Lease: lease, Verb: scheduler.VerbHeartbeat, Lines: []scheduler.Line{{Message: "here", Stream: "log"}}}
	if got, err := r.client.Settle(r.ctx, beat); err != nil || got.State != scheduler.Running || !got.ExpiresAt.Equal(seen.Add(time.Hour)) {
		t.Errorf("heartbeat of the lease: %+v, %v", got, err)
	}
	if got, err := r.client.SettleMany(r.ctx, []scheduler.Settling{beat}); err != nil || got[0].Err != nil {
		t.Errorf("heartbeat of the lease: %+v, %v", got, err)
	}
	if got, err := r.client.RemoteHeartbeat(r.ctx, worker, nil, 5); err != nil || !got.ExpiresAt.IsZero() {
		t.Errorf("heartbeat of the worker: %+v, %v", got, err)
	}
	if _, err := r.client.Poll(r.ctx, poll(worker, 0)); !errors.Is(err, scheduler.ErrInvalid) {
		t.Errorf("poll by its id: %v", err)
	}
	if err := r.client.Leave(r.ctx, worker); !errors.Is(err, scheduler.ErrInvalid) {
		t.Errorf("leave: %v", err)
	}
	if after := read[time.Time](r, `select seen_at from scheduler.workers where id = $1 and running = 7 and kinds = '{k}'`, worker); !after.Equal(seen) {
		t.Errorf("seen at %s, then at %s", seen, after)
	}
	if got := r.task(lease.Task); got.State != scheduler.Running {
		t.Errorf("the task is %s", got.State)
	}
	if got, err := r.client.Settle(r.ctx, scheduler.Settling{Lease: lease, Verb: scheduler.VerbComplete}); err != nil || got.State != scheduler.Completed {
		t.Errorf("complete: %+v, %v", got, err)
	}
}

// A remote worker that is silent about a task whose time is over loses it; the others' stay.
func TestTimeoutsOfRemoteWorkersAreTheServers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	long, short := r.submit(scheduler.NewTask{Timeout: time.Hour}), r.submit(scheduler.NewTask{Timeout: 40 * time.Second, MaxAttempts: 1})
	none := r.submit(scheduler.NewTask{})
	p := poll(scheduler.NewWorkerID(), 0)
	p.Max = 10
	if got := r.pollNow(p); len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	must(t, r.client.TimeOutOnce(r.ctx))
	if got := r.state(short); got != scheduler.Running {
		t.Errorf("before its time it is %s", got)
	}
	r.age(p.Worker.ID)
	must(t, r.client.TimeOutOnce(r.ctx))
	if task := r.task(short); task.State != scheduler.Failed || text(task.ErrorCode) != "timeout" {
		t.Errorf("%s, %s", task.State, text(task.ErrorCode))
	}
	for _, id := range []scheduler.TaskID{long, none} {
		if got := r.state(id); got != scheduler.Running {
			t.Errorf("another is %s", got)
		}
	}
	if n := read[int](r, `select count(*) from scheduler.leases where timeout_at is not null`); n != 1 {
		t.Errorf("%d lease rows are looked after, want 1", n)
	}
	r.exec(`update scheduler.leases set timeout_at = now() - interval '1 s'`)
	must(t, r.client.TimeOutOnce(r.ctx))
	if at := read[time.Time](r, `select timeout_at from scheduler.leases`); time.Until(at) < 30*time.Minute {
		t.Errorf("the next look is at %s", at)
	}
	// a Go worker sees to that by itself
	own := r.running(scheduler.NewTask{Timeout: time.Second})
	if n := read[int](r, `select count(*) from scheduler.leases where worker_id = $1 and timeout_at is not null`, own.Worker); n != 0 {
		t.Error("a worker of ours is looked after")
	}
	if got := endings(r.client); got["failed"] != 1 || got["retried"] != 0 {
		t.Errorf("counted: %v", got)
	}
}

// endings are the attempts of remote workers that a client has counted, by outcome.
func endings(client *scheduler.Client) map[string]uint64 {
	sum := map[string]uint64{}
	for _, its := range client.Counts().Remote {
		for how, n := range its.Outcomes {
			sum[how] += n
		}
	}
	return sum
}

// Who waits for a task marks its row; the last report of a lease that ends just then is not lost for that.
func TestTheLastReportWaitsForARow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	task := r.remoteLease(scheduler.NewTask{})
	tx := r.begin()
	must(t, second(tx.Exec(r.ctx, `update scheduler.tasks set watched_until = now() where id = $1`, task.Task)))
	ended, client := make(chan error, 1), r.patient()
	go func() { // received below
		_, err := client.Settle(r.ctx, scheduler.Settling{Lease: task.Lease, Verb: scheduler.VerbComplete, Progress: &scheduler.Progress{Current: 7, Message: "all"}})
		ended <- err
	}()
	await(t, "it waits for the row", func() bool {
		return read[bool](r, `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`)
	})
	must(t, tx.Commit(r.ctx))
	must(t, <-ended)
	if got := r.task(task.Task); got.State != scheduler.Completed || got.ProgressCurrent == nil || *got.ProgressCurrent != 7 || text(got.ProgressMessage) != "all" {
		t.Errorf("%+v", got)
	}
}

// Two verbs for one lease at once: one of them ends it.
func TestVerbsRaceForALease(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.patient() // the others wait for the first
	verbs := []scheduler.Verb{scheduler.VerbComplete, scheduler.VerbFail, scheduler.VerbRelease}
	for range 30 {
		task := r.remoteLease(scheduler.NewTask{Timeout: time.Hour})
		var done sync.WaitGroup
		errs := make([]error, len(verbs))
		for i, verb := range verbs {
			done.Go(func() { // ends with its answer
				_, errs[i] = client.Settle(r.ctx, scheduler.Settling{Lease: task.Lease, Verb: verb, Delay: time.Hour})
			})
		}
		done.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, scheduler.ErrLeaseLost) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Fatalf("%d of %d verbs ended the attempt: %v", won, len(verbs), errs)
		}
	}
}

// What one item of a batch holds, or has locked, spoils only itself.
func TestABadItemSpoilsOnlyItself(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.submitN(4, scheduler.NewTask{})
	p := poll(scheduler.NewWorkerID(), 0)
	p.Max = 4
	got := r.pollNow(p)
	tx := r.begin()
	must(t, second(tx.Exec(r.ctx, `select from scheduler.tasks where id = $1 for update`, ids[1])))
	list := []scheduler.Settling{}
	for _, task := range got {
		list = append(list, scheduler.Settling{Lease: task.Lease, Verb: scheduler.VerbComplete, Result: []byte(`1`)})
	}
	list[2].Result = []byte(`"` + "\\u0000" + `"`) // the wire refuses it; here the database has to
	answers, err := r.client.SettleMany(r.ctx, list)
	must(t, err)
	for i, a := range answers {
		if bad := i == 1 || i == 2; bad != (a.Err != nil) {
			t.Errorf("%d: %v", i, a.Err)
		}
	}
	must(t, tx.Rollback(r.ctx))
	answers, err = r.client.SettleMany(r.ctx, list[:2])
	must(t, err)
	if answers[0].Err != nil || answers[1].Err != nil {
		t.Errorf("again: %+v", answers)
	}
}

// The statistics count what remote workers did.
func TestRemoteOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	client := r.patient() // as Close adds what was counted
	for _, s := range []scheduler.Settling{{Verb: scheduler.VerbComplete}, {Verb: scheduler.VerbFail}, {Verb: scheduler.VerbFail, Failure: scheduler.Failure{Permanent: true}},
		{Verb: scheduler.VerbRelease, Delay: time.Hour}} {
		s.Lease = r.remoteLease(scheduler.NewTask{}).Lease
		for range 2 { // said again, it is not counted again
			must(t, second(client.Settle(r.ctx, s)))
		}
	}
	client.Close()
	list, err := r.client.Stats(r.ctx, scheduler.StatsFilter{})
	must(t, err)
	var sum scheduler.Stat
	for _, s := range list {
		sum.Completed, sum.Failed, sum.Dead = sum.Completed+s.Completed, sum.Failed+s.Failed, sum.Dead+s.Dead
	}
	if sum.Completed != 1 || sum.Failed != 1 || sum.Dead != 1 {
		t.Errorf("%+v", sum)
	}
}

// Polls outlive a restart of the database, and are served by what is submitted after it.
func TestPollsOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	r, _, halt, restart := serverRig(t)
	served := make(chan scheduler.Polled, 3)
	for range 3 {
		go func() { // received below
			got, err := r.client.Poll(r.ctx, poll(scheduler.NewWorkerID(), ages))
			if err != nil {
				t.Error(err)
			}
			served <- got
		}()
	}
	await(t, "they wait", func() bool { return r.client.Counts().Polls == 3 && r.client.DispatchIdle() })
	must(t, halt())
	restart()
	r.reconnect()
	for range 3 {
		await(t, "a submit", func() bool {
			_, err := r.client.Submit(r.ctx, scheduler.NewTask{Kind: "k"})
			return err == nil
		})
	}
	for range 3 {
		if got := <-served; len(got.Tasks) != 1 {
			t.Errorf("%+v", got)
		}
	}
}

func TestAPollThatIsToStopIsAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := make(chan struct{})
	p := poll(scheduler.NewWorkerID(), ages)
	p.Stop = stop
	served := make(chan error, 1)
	go func() { // received below
		got, err := r.client.Poll(r.ctx, p)
		if len(got.Tasks) != 0 || got.ExpiresAt.IsZero() {
			t.Errorf("%+v", got)
		}
		served <- err
	}()
	await(t, "it waits", func() bool { return r.client.Counts().Polls == 1 })
	close(stop)
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Polls that come, give up and are served at any moment lose no task and leave none running that nobody knows of. Some give up only
// late, so that the work gets done also where everything takes longer than the others wait.
func TestPollsThatComeAndGoLoseNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const tasks, workers = 1500, 60
	clients := []*scheduler.Client{r.patient(), r.patient()}
	var left atomic.Int64
	left.Store(tasks)
	life, end := context.WithCancel(r.ctx)
	var done sync.WaitGroup
	defer done.Wait()
	defer end()
	for i := range workers {
		done.Go(func() { // ends when all tasks are done, or with life
			client := clients[i%2]
			p := poll(scheduler.NewWorkerID(), time.Second)
			p.Max = 1 + i%3
			p.Worker.Queues = [][]scheduler.Queue{{"a"}, {"a", "b"}, {"b", "a"}}[i%3]
			if i%5 == 0 {
				p.Worker.Kinds = []string{"k", "other"}
			}
			for left.Load() > 0 && life.Err() == nil {
				within := time.Duration(rand.IntN(40_000)) * time.Microsecond
				if rand.IntN(8) == 0 {
					within = ages
				}
				ctx, cancel := context.WithTimeout(life, within)
				got, err := client.Poll(ctx, p)
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) && life.Err() == nil {
					t.Error(err)
				}
				for _, task := range got.Tasks {
					if _, err := client.Settle(r.ctx, scheduler.Settling{Lease: task.Lease, Verb: scheduler.VerbComplete}); err != nil {
						t.Error(err)
					}
					left.Add(-1)
				}
			}
		})
	}
	for i := range tasks / 50 {
		r.submitN(50, scheduler.NewTask{Queue: []scheduler.Queue{"a", "b"}[i%2]})
	}
	for before := left.Load(); before > 0; before = left.Load() {
		await(t, fmt.Sprintf("one of the last %d to be done", before), func() bool { return left.Load() < before })
	}
	done.Wait()
	if n := read[int](r, `select count(*) from scheduler.tasks where state = 'completed'`); n != tasks || left.Load() != 0 {
		t.Errorf("%d of %d are completed, %d left", n, tasks, left.Load())
	}
	for _, client := range clients {
		await(t, "no poll is left over", func() bool { return client.Counts().Polls == 0 }) // leases for those who gave up may be under way
	}
	t.Logf("handed back: %d", read[int](r, `select count(*) from scheduler.attempts`))
}
