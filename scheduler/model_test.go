package scheduler_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pgscheduler/scheduler/scheduler"
)

// model says what the database must hold after any sequence of operations. It holds I1 (nothing that was acknowledged is
// forgotten), I4 (attempts grow and end once), I5 (a final state changes by retry alone), I6 (stale writes are refused), I9
// (revisions grow by one with each change, and only then), I10 (lease rows cover what runs) and I13 (the states sum up).
type model struct {
	*rig
	tasks   map[scheduler.TaskID]*modelTask
	order   []scheduler.TaskID // ever submitted
	leases  []scheduler.Lease  // ever given out
	workers []scheduler.WorkerID
	dead    map[scheduler.WorkerID]bool
	changed map[scheduler.TaskID]bool // by the present operation
}

type modelTask struct {
	State                                   scheduler.State
	Attempt, Failures, Crashes, MaxAttempts int
	Worker                                  scheduler.WorkerID
	CancelAsked                             bool
	UniqueKey                               string
	History                                 []string // attempt and outcome of those in scheduler.attempts

	priority int
	backoff  time.Duration
	runAt    time.Time
	revision int64
}

func TestModel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	steps := 0
	rapid.Check(t, func(rt *rapid.T) {
		r.exec(`truncate scheduler.tasks, scheduler.attempts, scheduler.workers, scheduler.leases, scheduler.cancellations`)
		m := &model{rig: r, tasks: map[scheduler.TaskID]*modelTask{}, dead: map[scheduler.WorkerID]bool{}}
		for range 3 {
			m.workers = append(m.workers, r.worker())
		}
		step := func(do func(*rapid.T)) func(*rapid.T) {
			return func(rt *rapid.T) {
				m.changed = map[scheduler.TaskID]bool{}
				do(rt)
				m.compare(rt)
				steps++
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"submit": step(m.submitOne), "lease": step(m.leaseSome), "complete": step(m.complete), "fail": step(m.fail), "snooze": step(m.snooze),
			"release": step(m.release), "report": step(m.report), "cancel": step(m.cancel), "retry": step(m.retry), "delete": step(m.delete),
			"rescue": step(m.rescue), "promote": step(m.promote), "expire": step(m.expire), "lease more": step(m.leaseSome), "rescue more": step(m.rescue),
		})
	})
	t.Logf("%d steps", steps)
}

// holds reports whether the lease is the task's present one.
func (m *model) holds(l scheduler.Lease) *modelTask {
	if t := m.tasks[l.Task]; t != nil && t.State == scheduler.Running && t.Attempt == l.Attempt && t.Worker == l.Worker {
		return t
	}
	return nil
}

// end notes how the present attempt of a task ended.
func (m *model) end(id scheduler.TaskID, outcome string, to scheduler.State) {
	t := m.tasks[id]
	if t.CancelAsked && outcome != "completed" {
		to = scheduler.Cancelled
		if outcome != "crashed" {
			outcome = "cancelled"
		}
	}
	if outcome != "completed" {
		t.History = append(t.History, fmt.Sprint(t.Attempt, " ", outcome))
	}
	if t.State = to; !to.Done() {
		t.Worker = scheduler.WorkerID{}
	}
	m.changed[id] = true
}

// keyHolder returns the task that holds a unique key, nil if none does.
func (m *model) keyHolder(key string) *scheduler.TaskID {
	for id, t := range m.tasks {
		if key != "" && t.UniqueKey == key && !t.State.Done() {
			return &id
		}
	}
	return nil
}

func (m *model) submitOne(rt *rapid.T) {
	task := scheduler.NewTask{Kind: "k", Priority: rapid.IntRange(0, 2).Draw(rt, "priority"), MaxAttempts: rapid.IntRange(1, 3).Draw(rt, "max"),
		Delay: rapid.SampledFrom([]time.Duration{0, 0, time.Hour}).Draw(rt, "delay"), UniqueKey: rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(rt, "key"),
		Backoff: []time.Duration{rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(rt, "backoff")}}
	s, err := m.client.Submit(m.ctx, task)
	must(rt, err)
	if holder := m.keyHolder(task.UniqueKey); holder != nil {
		if !s.Existing || s.ID != *holder {
			rt.Fatalf("key %s: %+v, held by %s", task.UniqueKey, s, holder)
		}
		return
	}
	to := scheduler.Ready
	if task.Delay > 0 {
		to = scheduler.Scheduled
	}
	m.tasks[s.ID] = &modelTask{State: to, MaxAttempts: task.MaxAttempts, UniqueKey: task.UniqueKey, priority: task.Priority, backoff: task.Backoff[0], runAt: s.RunAt}
	m.order = append(m.order, s.ID)
	m.changed[s.ID] = true
}

func (m *model) leaseSome(rt *rapid.T) {
	worker, n := rapid.SampledFrom(append(m.live(), m.workers[0])).Draw(rt, "worker"), rapid.IntRange(1, 3).Draw(rt, "n")
	var want []scheduler.TaskID
	for id, t := range m.tasks {
		if t.State == scheduler.Ready && !m.dead[worker] {
			want = append(want, id)
		}
	}
	slices.SortFunc(want, func(a, b scheduler.TaskID) int {
		x, y := m.tasks[a], m.tasks[b]
		return cmp.Or(cmp.Compare(x.priority, y.priority), x.runAt.Compare(y.runAt), cmp.Compare(a.String(), b.String()))
	})
	want = want[:min(n, len(want))]
	var got []scheduler.TaskID
	for _, task := range m.rig.lease(worker, n) {
		got = append(got, task.Task)
		m.leases = append(m.leases, task.Lease)
		t := m.tasks[task.Task]
		if t == nil {
			rt.Fatalf("leased %s, which is not there", task.Task)
		}
		t.State, t.Worker = scheduler.Running, worker
		t.Attempt++
		m.changed[task.Task] = true
		if task.Attempt != t.Attempt || task.Failures != t.Failures {
			rt.Fatalf("leased %+v, want %+v", task, t)
		}
	}
	if !slices.Equal(want, got) {
		rt.Fatalf("leased %v, want %v", got, want)
	}
}

// anyLease draws one of all leases ever given, more often a late one.
func (m *model) anyLease(rt *rapid.T) (scheduler.Lease, *modelTask) {
	if len(m.leases) == 0 {
		rt.Skip("nothing was leased")
	}
	recent := m.leases[max(0, len(m.leases)-4):]
	lease := rapid.OneOf(rapid.SampledFrom(recent), rapid.SampledFrom(recent), rapid.SampledFrom(m.leases)).Draw(rt, "lease")
	return lease, m.holds(lease)
}

// answered compares whether a write was refused with whether it had to be.
func answered(rt *rapid.T, err error, held *modelTask) bool {
	if held == nil && errors.Is(err, scheduler.ErrLeaseLost) {
		return false
	}
	if held == nil || err != nil {
		rt.Fatalf("error %v, lease held %v", err, held != nil)
	}
	return true
}

func (m *model) complete(rt *rapid.T) {
	lease, held := m.anyLease(rt)
	if answered(rt, m.client.Complete(m.ctx, lease, json.RawMessage("1")), held) {
		m.end(lease.Task, "completed", scheduler.Completed)
	}
}

func (m *model) fail(rt *rapid.T) {
	lease, held := m.anyLease(rt)
	failure := scheduler.Failure{Message: "x", Permanent: rapid.IntRange(0, 4).Draw(rt, "permanent") == 0}
	wait := time.Duration(-1)
	if rapid.Bool().Draw(rt, "after") {
		wait = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(rt, "wait")
		failure.RetryAfter = &wait
	}
	state, err := m.client.Fail(m.ctx, lease, failure)
	if !answered(rt, err, held) {
		return
	}
	if wait < 0 {
		wait = held.backoff
	}
	held.Failures++
	to := scheduler.Ready
	switch {
	case failure.Permanent || held.Failures >= held.MaxAttempts:
		to = scheduler.Failed
	case wait > 0:
		to = scheduler.Scheduled
	}
	m.end(lease.Task, "failed", to)
	if state != held.State {
		rt.Fatalf("fail answered %s, want %s", state, held.State)
	}
}

func (m *model) snooze(rt *rapid.T) {
	lease, held := m.anyLease(rt)
	delay := rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(rt, "delay")
	state, err := m.client.Snooze(m.ctx, lease, delay, "later")
	if !answered(rt, err, held) {
		return
	}
	to := scheduler.Ready
	if delay > 0 {
		to = scheduler.Scheduled
	}
	m.end(lease.Task, "snoozed", to)
	if state != held.State {
		rt.Fatalf("snooze answered %s, want %s", state, held.State)
	}
}

func (m *model) release(rt *rapid.T) {
	lease, held := m.anyLease(rt)
	must(rt, m.client.Release(m.ctx, []scheduler.Lease{lease}))
	if held != nil {
		m.end(lease.Task, "released", scheduler.Ready)
	}
}

func (m *model) report(rt *rapid.T) {
	lease, held := m.anyLease(rt)
	lost, locked, err := m.client.Report(m.ctx, []scheduler.Report{{Lease: lease, Progress: scheduler.Progress{Current: 1, Total: 2}}})
	must(rt, err)
	if len(locked) != 0 || (len(lost) == 1) != (held == nil) {
		rt.Fatalf("lost %v, locked %v, lease held %v", lost, locked, held != nil)
	}
	m.changed[lease.Task] = held != nil
}

// anyTask draws one of all tasks ever submitted.
func (m *model) anyTask(rt *rapid.T) (scheduler.TaskID, *modelTask) {
	if len(m.order) == 0 {
		rt.Skip("nothing was submitted")
	}
	id := rapid.SampledFrom(m.order).Draw(rt, "task")
	return id, m.tasks[id]
}

// refusal compares an error with what a verb on a task in its present state must answer.
func refusal(rt *rapid.T, err error, t *modelTask, verb string, ok bool) {
	var state *scheduler.StateError
	switch {
	case t == nil && errors.Is(err, scheduler.ErrNotFound), t != nil && ok && err == nil:
	case t != nil && !ok && errors.As(err, &state) && state.State == t.State && state.Verb == verb:
	default:
		rt.Fatalf("%s: %v, want allowed %v of %+v", verb, err, ok, t)
	}
}

func (m *model) cancel(rt *rapid.T) {
	id, t := m.anyTask(rt)
	out, err := m.client.Cancel(m.ctx, id, "")
	ok := t != nil && !t.State.Done()
	refusal(rt, err, t, "cancel", ok)
	if !ok {
		return
	}
	m.changed[id] = true
	if t.CancelAsked = true; t.State != scheduler.Running {
		t.State = scheduler.Cancelled
	}
	if out.State != t.State || out.Requested != (t.State == scheduler.Running) {
		rt.Fatalf("cancel answered %+v, want %s", out, t.State)
	}
}

func (m *model) retry(rt *rapid.T) {
	id, t := m.anyTask(rt)
	_, err := m.client.Retry(m.ctx, id)
	ok := t != nil && (t.State == scheduler.Failed || t.State == scheduler.Cancelled)
	if ok && m.keyHolder(t.UniqueKey) != nil {
		if !errors.Is(err, scheduler.ErrKeyHeld) {
			rt.Fatalf("retry although another task holds the key: %v", err)
		}
		return
	}
	refusal(rt, err, t, "retry", ok)
	if ok {
		t.State, t.Failures, t.Crashes, t.CancelAsked, t.Worker = scheduler.Ready, 0, 0, false, scheduler.WorkerID{}
		m.changed[id] = true
	}
}

func (m *model) delete(rt *rapid.T) {
	id, t := m.anyTask(rt)
	ok := t != nil && t.State.Done()
	refusal(rt, m.client.Delete(m.ctx, id), t, "delete", ok)
	if ok {
		delete(m.tasks, id)
	}
}

// live returns the workers that were not declared dead.
func (m *model) live() (list []scheduler.WorkerID) {
	for _, worker := range m.workers {
		if !m.dead[worker] {
			list = append(list, worker)
		}
	}
	return list
}

// rescue lets workers die, and new ones begin.
func (m *model) rescue(rt *rapid.T) {
	victims := m.live()[:rapid.IntRange(1, 3).Draw(rt, "victims")]
	m.kill(victims...)
	must(rt, m.client.RescueOnce(m.ctx))
	for _, worker := range victims {
		m.dead[worker] = true
		m.workers = append(m.workers, m.worker())
	}
	for id, t := range m.tasks {
		if t.State == scheduler.Running && m.dead[t.Worker] {
			t.Crashes++
			to := scheduler.Ready
			if t.Crashes >= 3 {
				to = scheduler.Failed
			}
			m.end(id, "crashed", to)
		}
	}
}

// promote lets the time of a waiting task come.
func (m *model) promote(rt *rapid.T) {
	id, t := m.anyTask(rt)
	if m.exec(`update scheduler.tasks set run_at = now() - interval '1 s' where id = $1 and state = 'scheduled'`, id) == 1 {
		t.State = scheduler.Ready
		m.changed[id] = true
	}
	must(rt, m.client.PromoteOnce(m.ctx))
}

// expire lets a task that waits reach its end.
func (m *model) expire(rt *rapid.T) {
	id, t := m.anyTask(rt)
	if m.exec(`update scheduler.tasks set expires_at = now() where id = $1 and state in ('scheduled', 'ready')`, id) == 1 {
		t.State = scheduler.Cancelled
		m.changed[id] = true
	}
	must(rt, m.client.PromoteOnce(m.ctx))
}

// compare holds the database against the model.
func (m *model) compare(rt *rapid.T) {
	got, want := map[scheduler.TaskID]modelTask{}, map[scheduler.TaskID]modelTask{}
	var history map[string][]string
	must(rt, json.Unmarshal(read[[]byte](m.rig, `select coalesce(jsonb_object_agg(a.task_id, a.list), '{}') from (
		select task_id, array_agg(attempt || ' ' || outcome order by attempt) as list from scheduler.attempts group by task_id) a`), &history))
	for page := (scheduler.Filter{Limit: 500}); ; {
		list, next, err := m.client.Tasks(m.ctx, page)
		must(rt, err)
		for _, row := range list {
			t := m.tasks[row.ID]
			if t == nil {
				rt.Fatalf("task %s is not in the model", row.ID)
			}
			m.compareRevision(rt, t, row)
			got[row.ID] = stored(row, history[row.ID.String()])
		}
		if page.Before = next; next.IsZero() {
			break
		}
	}
	for id, t := range m.tasks {
		want[id] = *t
	}
	ignore := gocmp.FilterPath(func(p gocmp.Path) bool {
		switch p.Last().String() {
		case ".priority", ".backoff", ".runAt", ".revision":
			return true
		}
		return false
	}, gocmp.Ignore())
	if diff := gocmp.Diff(want, got, ignore); diff != "" {
		rt.Fatalf("model and database differ:\n%s", diff)
	}
	checkLeaseRows(m.rig)
}

func (m *model) compareRevision(rt *rapid.T, t *modelTask, row scheduler.Task) {
	grown := row.Revision - t.revision
	if m.changed[row.ID] && grown != 1 || !m.changed[row.ID] && grown != 0 {
		rt.Fatalf("task %s: revision grew by %d, changed %v", row.ID, grown, m.changed[row.ID])
	}
	if row.State.Done() != (row.FinishedAt != nil) || (row.Attempt > 0) != (row.StartedAt != nil) {
		rt.Fatalf("task %s is %s at attempt %d, started %v, finished %v", row.ID, row.State, row.Attempt, row.StartedAt, row.FinishedAt)
	}
	t.revision, t.runAt = row.Revision, row.RunAt
}

// stored is a row as the model would have it.
func stored(row scheduler.Task, history []string) modelTask {
	t := modelTask{State: row.State, Attempt: row.Attempt, Failures: row.Failures, Crashes: row.Crashes, MaxAttempts: row.MaxAttempts,
		CancelAsked: row.CancelRequestedAt != nil, UniqueKey: text(row.UniqueKey), History: history}
	if row.WorkerID != nil {
		t.Worker = *row.WorkerID
	}
	return t
}
