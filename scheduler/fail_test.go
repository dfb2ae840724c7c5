package scheduler_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pgscheduler/scheduler/scheduler"
)

// waits returns how long a task waits, by the database's own clock.
func (r *rig) waits(id scheduler.TaskID) time.Duration {
	r.t.Helper()
	return time.Duration(read[int64](r, `select round(extract(epoch from t.run_at - a.ended_at) * 1000)::bigint from scheduler.tasks t
		join scheduler.attempts a on a.task_id = t.id and a.attempt = t.attempt where t.id = $1`, id)) * time.Millisecond
}

// again brings a waiting task back to its worker.
func (r *rig) again(lease scheduler.Lease) scheduler.Lease {
	r.t.Helper()
	r.exec(`update scheduler.tasks set run_at = now() - interval '1 s' where id = $1`, lease.Task)
	must(r.t, r.client.PromoteOnce(r.ctx))
	for _, task := range r.leaseFrom(lease.Worker, lease.Queue, 1) {
		if task.Task == lease.Task {
			return task.Lease
		}
	}
	r.t.Fatalf("task %s did not come back", lease.Task)
	return lease
}

// The list's elements one after the other, the last for all that follow; then it gives up.
func TestBackoffList(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{MaxAttempts: 5, Backoff: []time.Duration{time.Second, 5 * time.Second, time.Minute}})
	for i, want := range []time.Duration{time.Second, 5 * time.Second, time.Minute, time.Minute} {
		state, err := r.client.Fail(r.ctx, lease, scheduler.Failure{Message: "no"})
		must(t, err)
		if got := r.waits(lease.Task); state != scheduler.Scheduled || got != want {
			t.Errorf("failure %d: %s for %s, want %s", i+1, state, got, want)
		}
		lease = r.again(lease)
	}
	state, err := r.client.Fail(r.ctx, lease, scheduler.Failure{Message: "no"})
	must(t, err)
	if task := r.task(lease.Task); state != scheduler.Failed || task.State != scheduler.Failed || task.Failures != 5 || task.FinishedAt == nil {
		t.Errorf("after 5 of 5 failures: %s, %+v", state, task)
	}
}

// Full jitter: uniform between nothing and 1 s doubling with each failure, at most an hour.
func TestExponentialBackoff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const n = 4000
	for failures, top := range map[int]float64{-1: 1000, 0: 1000, 1: 1000, 2: 2000, 3: 4000, 8: 128000, 12: 2048000, 13: 3600000, 40: 3600000, 32767: 3600000} {
		var least, most, mean float64
		must(t, r.db.QueryRow(r.ctx, `select min(b), max(b), avg(b)::float8 from (select scheduler.backoff($1, null) as b from generate_series(1, $2)) s`, failures, n).
			Scan(&least, &most, &mean))
		deviation := top / math.Sqrt(12*n)
		if least < 0 || most >= top || least > top*0.01 || most < top*0.99 || math.Abs(mean-top/2) > 6*deviation {
			t.Errorf("after %d failures: %.0f to %.0f, mean %.0f; want 0 to %.0f, mean %.0f ± %.0f", failures, least, most, mean, top, top/2, 6*deviation)
		}
	}
	if n := read[int](r, `select count(*) from generate_series(1, 40) where scheduler.backoff(1, '{}') not between 0 and 1000`); n != 0 {
		t.Error("an empty list is no list")
	}
}

// Lists that only a row written by hand can hold never make a failure impossible to store.
func TestBackoffOfHandMadeRows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for list, want := range map[string]int64{`{{7,8},{9,10}}`: 10, `[5:6]={7,8}`: 8, `{null}`: 0, `{9223372036854775807}`: 31557600000, `{-5}`: -5} {
		if got := read[int64](r, `select scheduler.backoff(4, $1::text::bigint[])`, list); got != want {
			t.Errorf("%s: %d, want %d", list, got, want)
		}
		lease := r.running(scheduler.NewTask{})
		r.exec(`update scheduler.tasks set backoff_ms = $2::text::bigint[] where id = $1`, lease.Task, list)
		if _, err := r.client.Fail(r.ctx, lease, scheduler.Failure{}); err != nil {
			t.Errorf("%s: %v", list, err)
		}
		r.exec(`delete from scheduler.tasks`)
	}
}

func TestPermanentAndRetryAfter(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	after := func(d time.Duration) *time.Duration { return &d }
	for _, c := range []struct {
		name    string
		failure scheduler.Failure
		state   scheduler.State
		waits   time.Duration
	}{
		{"permanent", scheduler.Failure{Permanent: true}, scheduler.Failed, 0},
		{"permanent wins", scheduler.Failure{Permanent: true, RetryAfter: after(time.Hour)}, scheduler.Failed, 0},
		{"retry after", scheduler.Failure{RetryAfter: after(90 * time.Second)}, scheduler.Scheduled, 90 * time.Second},
		{"retry at once", scheduler.Failure{RetryAfter: after(0)}, scheduler.Ready, 0},
		{"retry before now", scheduler.Failure{RetryAfter: after(-time.Hour)}, scheduler.Ready, 0},
		{"retry after ages", scheduler.Failure{RetryAfter: after(math.MaxInt64)}, scheduler.Scheduled, 31557600000 * time.Millisecond},
	} {
		lease := r.running(scheduler.NewTask{Backoff: []time.Duration{time.Minute}})
		state, err := r.client.Fail(r.ctx, lease, c.failure)
		must(t, err)
		task := r.task(lease.Task)
		if state != c.state || task.State != c.state || task.Failures != 1 || task.State == scheduler.Scheduled && r.waits(lease.Task) != c.waits {
			t.Errorf("%s: %s, %d failures, waits %s", c.name, state, task.Failures, r.waits(lease.Task))
		}
		r.exec(`delete from scheduler.tasks`)
	}
}

// What one reads after a failure, and that a retry brings the task back with its history.
func TestHistoryOfFailures(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{MaxAttempts: 1})
	must(t, second(r.client.Fail(r.ctx, lease, scheduler.Failure{Code: "panic", Message: "it \x00 broke\xff", Stack: "goroutine 1"})))
	task := r.task(lease.Task)
	if task.State != scheduler.Failed || text(task.ErrorCode) != "panic" || text(task.Error) != "it \uFFFD broke\uFFFD" || *task.WorkerID != lease.Worker {
		t.Errorf("%+v", task)
	}
	state, err := r.client.Retry(r.ctx, lease.Task)
	must(t, err)
	back := r.task(lease.Task)
	if state != scheduler.Ready || back.State != scheduler.Ready || back.Failures != 0 || back.Attempt != 1 || back.ErrorCode != nil || back.Error != nil ||
		back.FinishedAt != nil || back.WorkerID != nil || back.Revision != task.Revision+1 {
		t.Errorf("retried: %+v", back)
	}
	second := r.lease(lease.Worker, 1)[0].Lease
	must(t, r.client.Complete(r.ctx, second, nil))
	name := "w-" + lease.Worker.String()[:4]
	code, message, stack := "panic", "it \uFFFD broke\uFFFD", "goroutine 1"
	want := []scheduler.Attempt{
		{Attempt: 1, Outcome: "failed", WorkerID: lease.Worker, Worker: &name, ErrorCode: &code, Error: &message, Stack: &stack},
		{Attempt: 2, Outcome: "completed", WorkerID: lease.Worker, Worker: &name},
	}
	got := r.attempts(lease.Task)
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(scheduler.Attempt{}, "StartedAt", "EndedAt")); diff != "" {
		t.Error(diff)
	}
	for i, a := range got {
		if a.EndedAt == nil || a.EndedAt.Before(a.StartedAt) || i > 0 && a.StartedAt.Before(*got[i-1].EndedAt) {
			t.Errorf("attempt %d: %s to %v", a.Attempt, a.StartedAt, a.EndedAt)
		}
	}
}

// A failure is always stored, whatever it says.
func TestFailuresAreCutToFit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lease := r.running(scheduler.NewTask{MaxAttempts: 1})
	must(t, second(r.client.Fail(r.ctx, lease, scheduler.Failure{Code: strings.Repeat("c", 100), Message: strings.Repeat("é", 1<<20), Stack: strings.Repeat("s", 1<<20)})))
	a := r.attempts(lease.Task)[0]
	if len(text(a.ErrorCode)) != 64 || len(text(a.Error)) > 64<<10 || !strings.HasSuffix(text(a.Error), "é…") || len(text(a.Stack)) > 64<<10 {
		t.Errorf("%d bytes of code, %d of message, %d of stack", len(text(a.ErrorCode)), len(text(a.Error)), len(text(a.Stack)))
	}
	other := r.running(scheduler.NewTask{MaxAttempts: 1})
	must(t, second(r.client.Fail(r.ctx, other, scheduler.Failure{})))
	if task := r.task(other.Task); text(task.ErrorCode) != "error" || task.Error == nil {
		t.Errorf("a failure that says nothing: %+v", task)
	}
}

// Retry is for what gave up or was cancelled; anything else says what it is.
func TestRetryRefusesOtherStates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, from := range scheduler.States {
		id := read[scheduler.TaskID](r, `insert into scheduler.tasks (kind, state, worker_id) values ('k', $1::text::scheduler.task_state, gen_random_uuid()) returning id`, from)
		_, err := r.client.Retry(r.ctx, id)
		if from == scheduler.Failed || from == scheduler.Cancelled {
			if err != nil || r.state(id) != scheduler.Ready {
				t.Errorf("%s: %v", from, err)
			}
			continue
		}
		want := &scheduler.StateError{Task: id, State: from, Verb: "retry"}
		if err == nil || err.Error() != want.Error() || r.state(id) != from {
			t.Errorf("%s: %v", from, err)
		}
	}
	if _, err := r.client.Retry(r.ctx, scheduler.NewTaskID()); err != scheduler.ErrNotFound { //nolint:errorlint // exactly that
		t.Errorf("unknown: %v", err)
	}
}
