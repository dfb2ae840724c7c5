package scheduler_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// storm is sixteen hands on two hundred tasks.
type storm struct {
	*rig
	clients []*scheduler.Client

	mu      sync.Mutex
	ids     []scheduler.TaskID
	leases  []scheduler.LeasedTask
	workers []scheduler.WorkerID
	made    int // tasks that a submit acknowledged as new
	deleted int
	done    map[string]int // calls that succeeded, by verb
}

// Whatever is done at the same time to the same rows, nobody waits in a circle, and the tasks stay what they may be.
func TestStormWithoutDeadlocks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	length := 10 * time.Second
	if testing.Short() {
		length = 3 * time.Second
	}
	s := &storm{rig: r, done: map[string]int{}}
	for range 4 {
		s.clients = append(s.clients, r.open(scheduler.Patient(scheduler.Config{MaxConns: 4, MaxCrashes: 1000})))
		s.workers = append(s.workers, r.worker("other"))
	}
	for range 200 {
		s.submit(r.client)
	}
	deadlocks := func() int {
		return read[int](r, `select deadlocks from (select pg_stat_clear_snapshot()) c, pg_stat_database where datname = current_database()`)
	}
	before := deadlocks()
	verbs := map[string]func(*scheduler.Client) error{"submit": s.submit, "lease": s.lease, "heartbeat": s.heartbeat, "complete": s.complete, "completeTx": s.completeTx,
		"fail": s.fail, "release": s.release, "report": s.report, "cancel": s.cancel, "retry": s.retry, "delete": s.delete, "rescue": s.rescue, "promote": s.promote,
		"reclaim": s.reclaim, "leave": s.leave, "sql": s.viaSQL}
	var names []string
	for name := range verbs {
		names = append(names, name)
	}
	names = append(names, slices.Repeat([]string{"lease", "complete", "retry", "delete", "fail", "submit"}, 6)...)
	names = append(names, slices.Repeat([]string{"completeTx", "report", "heartbeat", "release", "cancel"}, 3)...)
	var all sync.WaitGroup
	least, most := time.Now().Add(length), time.Now().Add(length+2*patience)
	for hand := range 16 {
		all.Go(func() {
			for now := time.Now(); now.Before(least) || now.Before(most) && s.succeeded() < len(verbs); now = time.Now() { // a slow machine does less in the time
				name := names[rand.IntN(len(names))]
				err := verbs[name](s.clients[hand%len(s.clients)])
				s.note(name, err)
			}
		})
	}
	all.Wait()
	t.Logf("%v", s.done)
	for name := range verbs {
		if s.done[name] == 0 {
			t.Errorf("%s never succeeded: the storm was none", name)
		}
	}
	if n := deadlocks() - before; n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	s.check()
}

// succeeded is how many verbs have, at least once.
func (s *storm) succeeded() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.done)
}

// note counts what succeeded and lets pass what may be refused.
func (s *storm) note(name string, err error) {
	var state *scheduler.StateError
	switch {
	case err == nil:
		s.mu.Lock()
		s.done[name]++
		s.mu.Unlock()
	case errors.As(err, &state), errors.Is(err, scheduler.ErrNotFound), errors.Is(err, scheduler.ErrLeaseLost), errors.Is(err, scheduler.ErrWorkerLost),
		errors.Is(err, scheduler.ErrKeyHeld), errors.Is(err, errIdle):
	default:
		s.t.Errorf("%s: %v", name, err)
	}
}

var errIdle = errors.New("nothing to do it with")

func (s *storm) submit(c *scheduler.Client) error {
	var batch []scheduler.NewTask
	for range 1 + rand.IntN(3) {
		task := scheduler.NewTask{Kind: "k", Priority: rand.IntN(3), Backoff: []time.Duration{0}, MaxAttempts: 3}
		if rand.IntN(3) == 0 {
			task.UniqueKey = fmt.Sprint("u", rand.IntN(5))
		}
		if rand.IntN(3) == 0 {
			task.Queue = "other"
		}
		if rand.IntN(4) == 0 {
			task.Delay = time.Millisecond
		}
		batch = append(batch, task)
	}
	s.mu.Lock()
	full := len(s.ids)-s.deleted >= 200
	s.mu.Unlock()
	if full {
		return errIdle
	}
	list, err := c.SubmitMany(s.ctx, batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, got := range list {
		if !got.Existing {
			s.ids = append(s.ids, got.ID)
			s.made++
		}
	}
	return err
}

func (s *storm) viaSQL(*scheduler.Client) error {
	id, err := s.rig.viaSQL(s.db, scheduler.NewTask{Kind: "k", IdempotencyKey: fmt.Sprint("i", rand.IntN(5))})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && !slices.Contains(s.ids, id) {
		s.ids = append(s.ids, id)
		s.made++
	}
	return err
}

func (s *storm) anyWorker() scheduler.WorkerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.workers[rand.IntN(len(s.workers))]
}

// anyLeases returns some leases of one worker, from the latest ones.
func (s *storm) anyLeases(most int) (list []scheduler.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases = s.leases[max(0, len(s.leases)-60):]
	for _, i := range rand.Perm(len(s.leases)) {
		l := s.leases[i].Lease
		twice := slices.ContainsFunc(list, func(x scheduler.Lease) bool { return x.Task == l.Task })
		if len(list) < most && !twice && (len(list) == 0 || list[0].Worker == l.Worker) {
			list = append(list, l)
		}
	}
	return list
}

func (s *storm) anyTask() scheduler.TaskID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[max(0, len(s.ids)-250)+rand.IntN(min(250, len(s.ids)))]
}

func (s *storm) lease(c *scheduler.Client) error {
	got, err := c.Lease(s.ctx, s.anyWorker(), []string{"k"}, []scheduler.Ask{{Queue: "other", Limit: 5}, {Queue: scheduler.DefaultQueue, Limit: 10}})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases = append(s.leases, got...)
	return err
}

func (s *storm) heartbeat(c *scheduler.Client) error {
	return second(c.Heartbeat(s.ctx, s.anyWorker(), scheduler.Beat{Held: []int64{}}))
}

// complete ends several attempts at once, which travel together.
func (s *storm) complete(c *scheduler.Client) error {
	var all sync.WaitGroup
	errs := make([]error, 6)
	leases := s.anyLeases(len(errs))
	for i, l := range leases {
		all.Go(func() { errs[i] = c.Complete(s.ctx, l, nil) })
	}
	all.Wait()
	if len(leases) == 0 {
		return errIdle
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, scheduler.ErrLeaseLost) {
			return err
		}
	}
	return errs[0]
}

func (s *storm) one() (scheduler.Lease, error) {
	if list := s.anyLeases(1); len(list) == 1 {
		return list[0], nil
	}
	return scheduler.Lease{}, errIdle
}

func (s *storm) completeTx(c *scheduler.Client) error {
	lease, err := s.one()
	if err != nil {
		return err
	}
	return s.tx(func(tx pgx.Tx) error {
		if err := c.ReportTx(s.ctx, tx, scheduler.Report{Lease: lease}); err != nil {
			return err
		}
		return c.CompleteTx(s.ctx, tx, lease, nil)
	})
}

func (s *storm) fail(c *scheduler.Client) error {
	lease, err := s.one()
	if err != nil {
		return err
	}
	return second(c.Fail(s.ctx, lease, scheduler.Failure{Message: "x"}))
}

func (s *storm) release(c *scheduler.Client) error { return c.Release(s.ctx, s.anyLeases(8)) }

func (s *storm) report(c *scheduler.Client) error {
	var reports []scheduler.Report
	for _, l := range s.anyLeases(20) {
		reports = append(reports, scheduler.Report{Lease: l, Progress: scheduler.Progress{Current: rand.Int64N(100)}})
	}
	if len(reports) == 0 {
		return errIdle
	}
	_, _, err := c.Report(s.ctx, reports)
	return err
}

func (s *storm) cancel(c *scheduler.Client) error {
	return second(c.Cancel(s.ctx, s.anyTask(), "storm"))
}
func (s *storm) retry(c *scheduler.Client) error { return second(c.Retry(s.ctx, s.anyTask())) }

func (s *storm) delete(c *scheduler.Client) error {
	id := s.anyTask()
	err := c.Delete(s.ctx, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.deleted++
	}
	return err
}

// rescue lets a worker fall silent, and a new one begin.
func (s *storm) rescue(c *scheduler.Client) error {
	fresh := s.worker("other")
	s.mu.Lock()
	i := rand.IntN(len(s.workers))
	old := s.workers[i]
	s.workers[i] = fresh
	s.mu.Unlock()
	s.kill(old)
	return c.RescueOnce(s.ctx)
}

// leave lets a worker go, as it does at its end, while others may be about to declare it dead.
func (s *storm) leave(c *scheduler.Client) error {
	fresh := s.worker("other")
	s.mu.Lock()
	i := rand.IntN(len(s.workers))
	old := s.workers[i]
	s.workers[i] = fresh
	s.mu.Unlock()
	return c.Deregister(s.ctx, old)
}

func (s *storm) reclaim(c *scheduler.Client) error {
	return second(c.Reclaim(s.ctx, s.anyWorker(), []int64{}, time.Second))
}

func (s *storm) promote(c *scheduler.Client) error { return c.PromoteOnce(s.ctx) }

// check holds what must be true of any database: I1 and I13 (all that was acknowledged and not deleted is there), I4 (attempts are
// numbered without gaps and end once), I10 (lease rows cover what runs).
func (s *storm) check() {
	s.t.Helper()
	if n := read[int](s.rig, `select count(*) from scheduler.tasks`); n != s.made-s.deleted {
		s.t.Errorf("%d tasks, of %d made and %d deleted", n, s.made, s.deleted)
	}
	if n := read[int](s.rig, `select count(*) from (select t.id from scheduler.tasks t left join scheduler.attempts a on a.task_id = t.id group by t.id
		having count(a.attempt) <> t.attempt - (t.state in ('running', 'completed'))::integer or max(a.attempt) > t.attempt) x`); n != 0 {
		s.t.Errorf("%d tasks whose attempts do not add up", n)
	}
	if n := read[int](s.rig, `select count(*) from scheduler.tasks where (state in ('completed', 'failed', 'cancelled')) <> (finished_at is not null)
		or state = 'running' and worker_id is null or state in ('ready', 'scheduled') and worker_id is not null`); n != 0 {
		s.t.Errorf("%d tasks that contradict their state", n)
	}
	checkLeaseRows(s.rig)
	if n := read[int](s.rig, `select count(*) from (select from scheduler.attempts a where not exists (select from scheduler.tasks t where t.id = a.task_id)) x`); n != 0 {
		s.t.Errorf("%d attempts of deleted tasks", n)
	}
}
