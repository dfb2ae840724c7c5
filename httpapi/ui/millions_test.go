package ui_test

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestMillions fills a table with as many tasks as ROWS says, and tells how long each page takes: the figures of
// docs/guides/dashboard.md. It judges nothing.
func TestMillions(t *testing.T) {
	rows, _ := strconv.Atoi(os.Getenv("ROWS"))
	if rows == 0 {
		t.Skip("ROWS says no number")
	}
	r := newRig(t, "")
	id := r.scene()
	// Oldest first: mostly completed ones; among them one in a hundred dead; the newest 2 % ready; 1 % scheduled all over.
	r.exec(`set statement_timeout = 0`)
	for from := 0; from < rows; from += 250000 {
		r.exec(`insert into scheduler.tasks (id, kind, queue, state, attempt, created_at, run_at, started_at, finished_at, error_code, error, payload, tags)
			select (lpad(to_hex((extract(epoch from a.at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
				'kind.' || n % 20, 'queue-' || n % 12, s.state::scheduler.task_state, 1, a.at, case s.state when 'scheduled' then now() + n * interval '1 s' else a.at end, a.at, case when s.state in ('completed', 'failed', 'cancelled') then a.at end,
				case s.state when 'failed' then 'error' end, case s.state when 'failed' then 'host ' || n % 7 || ' did not answer' end,
				jsonb_build_object('n', n, 'to', 'user' || n || '@example.org'), case when n % 50 = 0 then array['user:' || n % 1000] end
			from generate_series($1::integer, $2::integer) n,
				lateral (select case when n % 100 = 7 then 'failed' when n % 100 = 8 then 'scheduled' when n % 100 = 9 then 'cancelled' when n > $3::integer * 0.98 then 'ready' else 'completed' end as state) s,
				lateral (select now() - ($3::integer - n) * interval '1 s' - interval '2 h' as at) a`, from+1, min(from+250000, rows), rows)
		t.Logf("%d rows", min(from+250000, rows))
	}
	r.exec(`vacuum analyze scheduler.tasks`)
	page := func(path string) {
		var took []time.Duration
		for range 7 {
			began := time.Now()
			if a := r.get(path); a.StatusCode != 200 {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
				return
			}
			took = append(took, time.Since(began))
		}
		first := took[0]
		slices.Sort(took)
		t.Logf("| `%s` | %.0f ms | %.0f ms |", path, float64(first.Microseconds())/1000, float64(took[3].Microseconds())/1000)
	}
	far, _, err := r.client.Tasks(t.Context(), scheduler.Filter{State: scheduler.Completed, Limit: 1})
	if err != nil || len(far) == 0 {
		t.Fatal(far, err)
	}
	for _, path := range append(slices.Clone(paths), "/?span=24h", "/tasks?state=ready", "/tasks?state=scheduled", "/tasks?state=running", "/tasks?state=completed",
		"/tasks?state=failed", "/tasks?state=cancelled", "/tasks?state=failed&queue=queue-7", "/tasks?queue=queue-3", "/tasks?kind=kind.9", "/tasks?kind=none", "/tasks?tag=user:50",
		"/tasks?text=user77", "/tasks?since=2026-01-01T00:00&until=2026-10-01T00:00", "/tasks?before="+far[0].ID.String(), "/tasks/"+id.String()) {
		page(path)
	}
}
