package scheduler_test

import (
	"slices"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestRecentAttempts: the newest tasks' attempts, and those of tasks that are asked for, last ended first, each once.
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
	got := func(tasks []scheduler.TaskID, limit int) (list []scheduler.TaskID) {
		t.Helper()
		attempts, err := r.client.RecentAttempts(r.ctx, tasks, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range attempts {
			if i > 0 && a.EndedAt.After(attempts[i-1].EndedAt) {
				t.Error("out of order")
			}
			list = append(list, a.TaskID)
		}
		return list
	}
	if list := got(nil, 8); len(list) != 8 || list[0] != ids[4] || list[7] != ids[3] {
		t.Errorf("%v", list)
	}
	if list := got([]scheduler.TaskID{old, ids[4]}, 20); len(list) != 20 || slices.Contains(list, old) { // 20 newer ones
		t.Errorf("%v", list)
	}
	r.exec(`update scheduler.attempts set ended_at = now() where task_id = $1`, old)
	if list := got([]scheduler.TaskID{old, ids[4]}, 8); len(list) != 8 || list[0] != old || list[2] != old || list[3] != ids[4] { // three of it
		t.Errorf("%v", list)
	}
	if list := got([]scheduler.TaskID{old, old}, 100); len(list) != 24 {
		t.Errorf("%d attempts", len(list))
	}
}
