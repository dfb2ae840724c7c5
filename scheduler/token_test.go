package scheduler_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

func TestLeaseToken(t *testing.T) {
	t.Parallel()
	lease := scheduler.Lease{Task: scheduler.NewTaskID(), Queue: "a.b-c_d", Worker: scheduler.NewWorkerID(), Attempt: 1<<31 - 1}
	token := lease.Token()
	if got, err := scheduler.ParseLeaseToken(token); err != nil || got != lease {
		t.Errorf("%v, %v", got, err)
	}
	if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("token %q is no word", token)
	}
	none := scheduler.Lease{Task: lease.Task, Queue: "q", Worker: lease.Worker}
	queue := scheduler.Lease{Task: lease.Task, Queue: "a b", Worker: lease.Worker, Attempt: 1}
	nowhere := scheduler.Lease{Task: lease.Task, Worker: lease.Worker, Attempt: 1}
	for _, bad := range []string{"", "x", token + "=", token + " ", token[:20], "C" + token[1:], none.Token(), queue.Token(), nowhere.Token(), "é" + token} {
		if got, err := scheduler.ParseLeaseToken(bad); err != scheduler.ErrBadToken { //nolint:errorlint // exactly that
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

// What an attempt stores the next one finds, and only an attempt that still has its lease stores anything.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.submit(scheduler.NewTask{})
	first := r.lease(r.worker(), 1)[0]
	if first.Checkpoint != nil {
		t.Errorf("the first attempt finds %s", first.Checkpoint)
	}
	must(t, r.client.SaveCheckpoint(r.ctx, first.Lease, []byte(`{"page":7,"name":"é"}`)))
	for _, bad := range []string{`{`, `"\u0000"`, `"` + strings.Repeat("x", scheduler.MaxPayload) + `"`} {
		if err := r.client.SaveCheckpoint(r.ctx, first.Lease, []byte(bad)); err == nil || err == scheduler.ErrLeaseLost { //nolint:errorlint // exactly that
			t.Errorf("%.20s: %v", bad, err)
		}
	}
	none := scheduler.Failure{RetryAfter: new(time.Duration)}
	must(t, second(r.client.Fail(r.ctx, first.Lease, none)))
	next := r.lease(r.worker(), 1)[0]
	if next.Task != id || string(next.Checkpoint) != `{"name": "é", "page": 7}` {
		t.Errorf("the second attempt finds %s", next.Checkpoint)
	}
	if err := r.client.SaveCheckpoint(r.ctx, first.Lease, []byte(`1`)); err != scheduler.ErrLeaseLost { //nolint:errorlint // exactly that
		t.Errorf("a stale attempt: %v", err)
	}
	must(t, r.client.SaveCheckpoint(r.ctx, next.Lease, nil))
	must(t, second(r.client.Fail(r.ctx, next.Lease, none)))
	if third := r.lease(r.worker(), 1)[0]; third.Checkpoint != nil {
		t.Errorf("the third attempt finds %s", third.Checkpoint)
	}
}
