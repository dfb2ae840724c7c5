package scheduler_test

import (
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestRecentAttempts: last ended first, whatever the age of their task.
func TestRecentAttempts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	old := scheduler.NewTaskID()
	var ids []scheduler.TaskID
	for range 5 {
		ids = append(ids, scheduler.NewTaskID())
	}
	for i, id := range append([]scheduler.TaskID{old}, ids...) {
		r.exec(`insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, started_at, ended_at, error)
			select $1, n, 'q', 'k', 'failed', gen_random_uuid(), now(), now() - ($2::integer * 10 - n) * interval '1 s', 'why' from generate_series(1, 4) n`, id, 60-10*i)
	}
	got := func(limit int) (list []scheduler.EndedAttempt) {
		t.Helper()
		list, err := r.client.RecentAttempts(r.ctx, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range list {
			if i > 0 && a.EndedAt.After(list[i-1].EndedAt) {
				t.Error("out of order")
			}
		}
		return list
	}
	if list := got(8); len(list) != 8 || list[0].TaskID != ids[4] || list[0].Attempt != 4 || list[7].TaskID != ids[3] {
		t.Errorf("%v", list)
	}
	r.exec(`update scheduler.attempts set ended_at = now() where task_id = $1 and attempt = 1`, old)
	if list := got(100); len(list) != 24 || list[0].TaskID != old || list[0].Attempt != 1 || list[1].TaskID != ids[4] {
		t.Errorf("%v", list)
	}
}
