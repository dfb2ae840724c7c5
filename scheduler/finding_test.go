package scheduler_test

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Each check has limits that no test database reaches.
func TestFindings(t *testing.T) {
	t.Parallel()
	now := time.Now()
	well := scheduler.Health{ServerVersion: "15.1", ServerVersionNum: 150001, Fsync: "on", SynchronousCommit: "on", Clock: now, LiveWorkers: 1}
	for name, test := range map[string]struct {
		change func(*scheduler.Health)
		took   time.Duration
		check  string
		want   scheduler.Status
	}{
		"old server":                  {func(h *scheduler.Health) { h.ServerVersionNum = 130021 }, 0, "server", scheduler.Fail},
		"supported server":            {func(h *scheduler.Health) { h.ServerVersionNum = 140000 }, 0, "server", scheduler.OK},
		"standby":                     {func(h *scheduler.Health) { h.Standby = true }, 0, "primary", scheduler.Fail},
		"asynchronous":                {func(h *scheduler.Health) { h.SynchronousCommit = "off" }, 0, "durability", scheduler.Warn},
		"no fsync":                    {func(h *scheduler.Health) { h.Fsync = "off" }, 0, "durability", scheduler.Warn},
		"local commit":                {func(h *scheduler.Health) { h.SynchronousCommit = "local" }, 0, "durability", scheduler.OK},
		"clock ahead":                 {func(h *scheduler.Health) { h.Clock = now.Add(3 * time.Second) }, time.Second, "clock", scheduler.Warn},
		"clock behind":                {func(h *scheduler.Health) { h.Clock = now.Add(-3 * time.Second) }, 0, "clock", scheduler.Warn},
		"slow answer":                 {func(*scheduler.Health) {}, 2 * time.Second, "clock", scheduler.OK},
		"nobody works":                {func(h *scheduler.Health) { h.LiveWorkers = 0 }, 0, "workers", scheduler.Warn},
		"stuck, but somebody rescues": {func(h *scheduler.Health) { h.StuckLeases = 1 }, 0, "leases", scheduler.Warn},
		"stuck":                       {func(h *scheduler.Health) { h.StuckLeases, h.LiveWorkers = 1, 0 }, 0, "leases", scheduler.Fail},
		"late":                        {func(h *scheduler.Health) { h.PromotionLateMS = 6000 }, 0, "due work", scheduler.Warn},
		"very late":                   {func(h *scheduler.Health) { h.PromotionLateMS = 61_000 }, 0, "due work", scheduler.Fail},
		"old snapshot":                {func(h *scheduler.Health) { h.OldestSnapshotS = 301 }, 0, "snapshots", scheduler.Warn},
		"very old snapshot":           {func(h *scheduler.Health) { h.OldestSnapshotS = 3601 }, 0, "snapshots", scheduler.Fail},
		"notifications pile up":       {func(h *scheduler.Health) { h.NotificationQueue = 0.2 }, 0, "notify queue", scheduler.Warn},
		"notifications nearly full":   {func(h *scheduler.Health) { h.NotificationQueue = 0.6 }, 0, "notify queue", scheduler.Fail},
		"dead rows":                   {func(h *scheduler.Health) { h.DeadRows = 1_000_000 }, 0, "dead rows", scheduler.Warn},
	} {
		h := well
		test.change(&h)
		for _, f := range h.Findings(now, now.Add(test.took)) {
			if f.Check == test.check && f.Status != test.want {
				t.Errorf("%s: %+v, want %s", name, f, test.want)
			}
			if (f.Status == scheduler.OK) != (f.Fix == "") || f.Detail == "" || f.Check != test.check && f.Check != "workers" && f.Status != scheduler.OK {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
	for _, f := range (scheduler.Health{OldestSnapshotS: -0.003}).Findings(now, now) { // it began after the question was asked
		if f.Check == "snapshots" && f.Detail != "the oldest open transaction is 0ms old" {
			t.Errorf("%+v", f)
		}
	}
	if a, b, c := scheduler.RoundTripFinding(time.Millisecond, nil), scheduler.RoundTripFinding(2*time.Second, nil), scheduler.RoundTripFinding(0, errors.New("no\nthing")); a.Status != scheduler.OK ||
		b.Status != scheduler.Warn || c.Status != scheduler.Fail || c.Detail != "a notification did not arrive: no thing" {
		t.Errorf("%+v, %+v, %+v", a, b, c)
	}
}

// Doctor finds the tasks of dead workers by the lease rows, one by one: a join would scan a table of millions.
func TestDoctorReadsFewTasks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`insert into scheduler.tasks (kind, state, attempt, worker_id) select 'k', 'running', 1, gen_random_uuid() from generate_series(1, 20000)`)
	r.exec(`insert into scheduler.leases (worker_id, queue, task_ids) select gen_random_uuid(), 'default', array_agg(id)
		from (select id, row_number() over () as n from scheduler.tasks limit 5000) t group by n / 10`)
	r.exec(`analyze`)
	if h, err := r.client.Doctor(r.ctx); err != nil || h.StuckLeases != 5000 {
		t.Errorf("%d, %v", h.StuckLeases, err)
	}
	text, err := os.ReadFile("../sql/doctor.sql")
	must(t, err)
	var plan []struct{ Plan node }
	must(t, json.Unmarshal([]byte(read[string](r, "explain (format json) "+string(text))), &plan))
	if scans := plan[0].Plan.scans(); slices.Contains(scans, "Seq Scan tasks") || !slices.ContainsFunc(scans, func(s string) bool { return strings.Contains(s, "tasks_pkey") }) {
		t.Errorf("it reads by %q", scans)
	}
}
