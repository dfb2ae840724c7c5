package scheduler_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// What is read for those who follow, and for order and pruning, does not grow with what is kept: 200,000 messages of 200 ticks here, on
// tables that were analyzed or were not.
func TestReadingMessagesDoesNotGrowWithWhatIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.exec(`delete from scheduler.message_ticks`)
	r.exec(`insert into scheduler.message_ticks (n, at, snapshot) select n, now() - (200 - n) * interval '1 s', (3 + 2 * n || ':' || 3 + 2 * n || ':')::pg_snapshot from generate_series(0, 200) n`)
	r.exec(`insert into scheduler.messages (topic, payload, xid) select 'a.b', '{"x": 1}', (3 + i / 500)::text::xid8 from generate_series(0, 199999) i`)
	statement := func(name string, args ...string) string {
		raw, err := os.ReadFile("../sql/" + name + ".sql")
		must(t, err)
		text := string(raw)
		for i, arg := range args {
			text = strings.ReplaceAll(text, fmt.Sprint("$", i+1), arg)
		}
		return text
	}
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			r.exec(`vacuum analyze scheduler.messages, scheduler.message_ticks`)
		}
		for name, text := range map[string]string{
			"the newest tick":   statement("messages_read", "200", "0", "699", "200"),
			"nothing new":       statement("messages_read", "201", "0", "700", "200"),
			"a page in between": statement("messages_read", "190", "0", "689", "200"),
			"the next tick":     statement("messages_tick"),
			"nothing to prune":  statement("messages_prune", "3600000", "1000"),
			"bounds":            statement("messages_bounds"),
			"the newest":        strings.ReplaceAll(statement("messages"), "@limit", "50"),
		} {
			pages, ms := r.pages(text)
			t.Logf("analyzed %v, %s: %d pages, %.1f ms", analyzed, name, pages, ms)
			if pages > 600 {
				t.Errorf("analyzed %v, %s reads %d pages", analyzed, name, pages)
			}
		}
	}
}

// pages runs a statement and undoes it, and returns how many pages it read.
func (r *rig) pages(statement string) (n int, ms float64) {
	r.t.Helper()
	tx, err := r.db.Begin(r.ctx)
	must(r.t, err)
	defer func() { must(r.t, tx.Rollback(r.ctx)) }()
	var raw []byte
	must(r.t, tx.QueryRow(r.ctx, "explain (analyze, buffers, format json) "+statement).Scan(&raw))
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
		Time float64 `json:"Execution Time"`
	}
	must(r.t, json.Unmarshal(raw, &plans))
	return plans[0].Plan.Hit + plans[0].Plan.Read, plans[0].Time
}
