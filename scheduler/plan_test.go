package scheduler_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/scheduler"
)

// node is a part of a plan, as EXPLAIN (FORMAT JSON) has it.
type node struct {
	Type     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Index    string `json:"Index Name"`
	Plans    []node `json:"Plans"`
}

// scans lists how a plan reads tables, as "Index Scan tasks tasks_pkey".
func (n node) scans() (list []string) {
	if n.Relation != "" && strings.Contains(n.Type, "Scan") || n.Index != "" {
		list = append(list, strings.TrimSpace(n.Type+" "+strings.TrimSpace(n.Relation+" "+n.Index)))
	}
	for _, p := range n.Plans {
		list = append(list, p.scans()...)
	}
	return list
}

// planned are the statements whose plans matter: how many positional arguments they take (0: named ones), and what they must use.
var planned = map[string]struct {
	arguments int
	uses      []string
}{
	"lease":         {7, []string{"Index Scan tasks tasks_ready", "Tid Scan tasks"}},
	"lease_some":    {8, []string{"Index Scan tasks tasks_ready", "Tid Scan tasks"}},
	"lease_scout":   {5, []string{"Index Scan tasks tasks_ready"}},
	"lease_tail":    {2, []string{"tasks_ready"}},
	"checkpoint":    {5, []string{"Index Scan tasks tasks_pkey"}},
	"complete":      {5, []string{"Index Scan tasks tasks_pkey"}},
	"complete_tx":   {5, []string{"Index Scan tasks tasks_pkey"}},
	"report":        {8, []string{"Index Scan tasks tasks_pkey"}},
	"report_tx":     {8, []string{"Index Scan tasks tasks_pkey"}},
	"log":           {7, []string{"tasks_pkey"}},
	"promote":       {1, []string{"Index Scan tasks tasks_waiting", "Tid Scan tasks"}},
	"expire":        {1, []string{"Index Scan tasks tasks_expiring", "Tid Scan tasks"}},
	"heartbeat":     {5, []string{"workers_pkey"}},
	"due":           {1, nil},
	"submit":        {15, nil},
	"rescue":        {0, []string{"Index Scan tasks tasks_pkey"}},
	"reclaim":       {0, []string{"Index Scan tasks tasks_pkey"}},
	"deregister":    {0, []string{"tasks_pkey"}},
	"release":       {5, []string{"Index Scan tasks tasks_pkey"}},
	"ended":         {2, []string{"tasks_pkey"}},
	"held":          {4, []string{"tasks_pkey"}},
	"sweep":         {4, []string{"Index Scan tasks tasks_pkey", "leases_pkey"}},
	"settled_how":   {4, []string{"Index Scan tasks tasks_pkey", "attempts_pkey"}},
	"lease_timeout": {3, []string{"leases_pkey"}},
	"time_out":      {1, []string{"Index Scan tasks tasks_pkey", "Index Scan leases leases_timeout"}},
	"renew":         {3, []string{"workers_pkey", "cancellations_worker", "leases_pkey"}},
	"fail":          {9, []string{"Index Scan tasks tasks_pkey"}},
	"snooze":        {6, []string{"Index Scan tasks tasks_pkey"}},
	"settled":       {0, []string{"tasks_pkey"}},
	"fire":          {0, nil},
}

// planner is a connection with the settings of the hot path, and with the plans that a connection keeps when it lives long.
func planner(r *rig) *pgx.Conn {
	r.t.Helper()
	config, err := pgx.ParseConfig(r.url)
	must(r.t, err)
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	scheduler.PinPlans(config.RuntimeParams)
	config.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	conn, err := pgx.ConnectConfig(r.ctx, config)
	must(r.t, err)
	r.t.Cleanup(func() { conn.Close(context.WithoutCancel(r.ctx)) })
	return conn
}

// explained returns how a statement with n arguments reads tables.
func explained(r *rig, conn *pgx.Conn, statement string, n int) []string {
	r.t.Helper()
	prepared, err := conn.Prepare(r.ctx, "s", statement)
	must(r.t, err)
	if len(prepared.ParamOIDs) != n {
		r.t.Fatalf("%.60s: %d arguments, want %d", statement, n, len(prepared.ParamOIDs))
	}
	call := "explain (format json) execute s"
	if n > 0 {
		call += "(" + strings.TrimSuffix(strings.Repeat("null,", n), ",") + ")" // a generic plan does not look at them
	}
	var raw []byte
	must(r.t, conn.QueryRow(r.ctx, call).Scan(&raw))
	must(r.t, conn.Deallocate(r.ctx, "s"))
	var plan []struct{ Plan node }
	must(r.t, json.Unmarshal(raw, &plan))
	return plan[0].Plan.scans()
}

func checkPlans(r *rig, when string) {
	r.t.Helper()
	conn := planner(r)
	for name, s := range planned {
		text, err := os.ReadFile("../sql/" + name + ".sql")
		must(r.t, err)
		statement, n := string(text), s.arguments
		if s.arguments == 0 {
			var args []any
			statement, args, err = (pgx.NamedArgs{}).RewriteQuery(r.ctx, conn, statement, nil)
			must(r.t, err)
			n = len(args)
		}
		scans := explained(r, conn, statement, n)
		all := strings.Join(scans, "\n")
		for _, scan := range scans {
			if strings.HasPrefix(scan, "Seq Scan tasks") {
				r.t.Errorf("%s: %s reads all of the table:\n%s", when, name, all)
			}
		}
		for _, part := range s.uses {
			if !strings.Contains(all, part) {
				r.t.Errorf("%s: %s does not use %s:\n%s", when, name, part, all)
			}
		}
	}
}

// Plans are pinned, not hoped for: the same on an empty table of which nothing is known, once it is full, when the statistics say so,
// when most of it is finished, and full of dead rows.
func TestPlansAreTheSameWhateverIsKnownOfTheTable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`alter table scheduler.tasks set (autovacuum_enabled = false)`)
	checkPlans(r, "empty")
	for _, state := range []string{"completed", "ready", "scheduled"} {
		r.exec(`insert into scheduler.tasks (kind, queue, state, finished_at, expires_at) select 'k', 'default', $1::text::scheduler.task_state,
			case when $1 = 'completed' then now() end, case when i % 10 = 0 then now() + interval '1 h' end from generate_series(1, 20000) i`, state)
	}
	checkPlans(r, "grown")
	r.exec(`analyze scheduler.tasks`)
	checkPlans(r, "analyzed")
	r.exec(`update scheduler.tasks set state = 'running', worker_id = gen_random_uuid() where state = 'ready'`)
	checkPlans(r, "with dead entries")
	r.exec(`update scheduler.tasks set state = 'completed', finished_at = now() where state = 'running'`)
	r.exec(`update scheduler.tasks set state = 'cancelled', finished_at = now() where state = 'scheduled'`)
	r.exec(`analyze scheduler.tasks`)
	checkPlans(r, "all finished, analyzed")
}

// What the client itself sends when it began on an empty table: the plans that its connections keep are those of the cold table.
func TestAClientThatStartedColdReadsNoTableWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`alter table scheduler.tasks set (autovacuum_enabled = false)`)
	worker := r.worker()
	work := func() {
		for i, task := range r.lease(worker, 7) {
			_, _, err := r.client.Report(r.ctx, []scheduler.Report{{Lease: task.Lease}})
			must(t, err)
			switch i {
			case 5:
				must(t, second(r.client.Fail(r.ctx, task.Lease, scheduler.Failure{})))
			case 6:
				must(t, second(r.client.Snooze(r.ctx, task.Lease, 0, "")))
			default:
				must(t, r.client.Complete(r.ctx, task.Lease, nil))
			}
		}
		must(t, r.client.PromoteOnce(r.ctx))
	}
	for range 12 { // more than the five executions after which PostgreSQL settles for a generic plan
		work()
		r.submitN(3, scheduler.NewTask{})
		work()
	}
	r.exec(`insert into scheduler.tasks (kind, state, finished_at) select 'k', 'completed', now() from generate_series(1, 20000)`)
	r.submitN(500, scheduler.NewTask{})
	scans := func() int64 {
		return read[int64](r, `select coalesce(seq_scan, 0) from (select pg_stat_clear_snapshot(), pg_sleep(0)) c, pg_stat_user_tables where relid = 'scheduler.tasks'::regclass`)
	}
	before := r.settledStat(scans)
	for range 30 {
		work()
	}
	if n := r.settledStat(scans) - before; n != 0 {
		t.Errorf("%d sequential scans of tasks in 30 rounds", n)
	}
}

// settledStat returns a figure of the cumulative statistics once the client's connections have sent theirs: they do so when idle for
// a while, or when they are closed.
func (r *rig) settledStat(value func() int64) int64 {
	r.t.Helper()
	await(r.t, "the client's connections are gone", func() bool {
		r.client.ResetConnections() // again and again: hints may open others
		return read[int](r, `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'scheduler'`) == 0
	})
	return value()
}

// A completion touches no index, so that most are heap-only updates: no dead index entries, less WAL.
func TestCompletionsAreHeapOnlyUpdates(t *testing.T) {
	t.Parallel()
	r, _, _, _ := serverRig(t) // an open transaction in any database of a server keeps what was leased from being pruned
	r.reconnect()
	worker := r.worker()
	const n = 3000
	stat := func(name string) int64 {
		return read[int64](r, `select case $1 when 'hot' then n_tup_hot_upd else n_tup_upd end
			from (select pg_stat_clear_snapshot()) c, pg_stat_user_tables where relid = 'scheduler.tasks'::regclass`, name)
	}
	r.submitN(n, scheduler.NewTask{Payload: strings.Repeat("x", 100)})
	leased := r.lease(worker, n)
	all, hot := r.settledStat(func() int64 { return stat("all") }), stat("hot")
	for _, task := range leased {
		r.client.CompleteLater(task.Lease, json.RawMessage(`{"ok":true}`), func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	await(t, "all are completed", func() bool {
		return read[int](r, `select count(*) from scheduler.tasks where state = 'completed'`) == n
	})
	all, hot = r.settledStat(func() int64 { return stat("all") })-all, stat("hot")-hot
	if all != n || hot*100 < all*30 {
		t.Errorf("%d of %d completions were heap-only, want 30 %%", hot, all)
	}
	t.Logf("%d of %d", hot, all)
}

// No index, in its columns or its condition, holds what a completion writes.
func TestNoIndexHoldsWhatCompletionWrites(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	text, err := os.ReadFile("../sql/complete.sql")
	must(t, err)
	_, set, _ := strings.Cut(string(text), "\nset ")
	set, _, _ = strings.Cut(set, "\nfrom ")
	var written []string
	for _, match := range regexp.MustCompile(`(?:^|, )(\w+) = `).FindAllStringSubmatch(set, -1) {
		written = append(written, match[1])
	}
	if !slices.Contains(written, "state") || !slices.Contains(written, "finished_at") || !slices.Contains(written, "revision") {
		t.Fatalf("complete.sql writes %v?", written)
	}
	for _, definition := range column[string](r, `select pg_get_indexdef(indexrelid) from pg_index where indrelid = 'scheduler.tasks'::regclass`) {
		_, what, _ := strings.Cut(definition, " USING ")
		for _, name := range append(written, "worker_id", "progress_current") {
			if regexp.MustCompile(`\b` + name + `\b`).MatchString(what) {
				t.Errorf("%s holds %s", definition, name)
			}
		}
	}
}
