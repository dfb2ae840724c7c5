package docs_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// blocks returns the fenced blocks of a language.
func blocks(text, language string) []string {
	var list []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		list = append(list, match[1])
	}
	return list
}

func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // its database goes anyway
	return conn
}

// run executes statements as psql would, and returns how many rows the last one gave.
func run(t *testing.T, conn *pgx.Conn, sql string) int {
	t.Helper()
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	return len(results[len(results)-1].Rows)
}

// roles gives the names that the guides use to roles of this test alone, for roles belong to the whole server.
func roles(t *testing.T, conn *pgx.Conn, names ...string) *strings.Replacer {
	t.Helper()
	var pairs []string
	for _, name := range names {
		own := "docs_" + strings.ToLower(rand.Text()[:12]) + "_" + name
		run(t, conn, "create role "+own)
		t.Cleanup(func() {
			_, err := conn.Exec(context.WithoutCancel(t.Context()), "drop owned by "+own+"; drop role "+own, pgx.QueryExecModeSimpleProtocol)
			if err != nil {
				t.Error(err)
			}
		})
		pairs = append(pairs, " to "+name+";", " to "+own+";", "role "+name, "role "+own)
	}
	return strings.NewReplacer(pairs...)
}

func TestTransactionGuideRuns(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	run(t, conn, "create table orders (id bigint generated always as identity, customer text, total bigint)")
	list := blocks(read(t, "guides/from-a-transaction.md"), "sql")
	if len(list) != 2 {
		t.Fatalf("%d blocks, want the transaction and the grants", len(list))
	}
	for _, shown := range blocks(read(t, "../README.md"), "sql") {
		run(t, conn, strings.Replace(shown, "commit;", "rollback;", 1)) // the guide uses the same key for another request
	}
	run(t, conn, list[0])
	if n := run(t, conn, "select from scheduler.tasks where kind = 'order.confirm' and state = 'ready' and max_attempts = 5"); n != 1 {
		t.Errorf("%d tasks after the transaction, want 1", n)
	}
	own := roles(t, conn, "shop")
	run(t, conn, own.Replace(list[1]))
	run(t, conn, own.Replace("set role shop"))
	if n := run(t, conn, "select scheduler.submit(kind => 'x', idempotency_key => 'k', unique_key => 'u', tags => '{t}')"); n != 1 {
		t.Errorf("submit with these rights gave %d rows", n)
	}
	run(t, conn, "select scheduler.submit(kind => 'x', idempotency_key => 'k', unique_key => 'u', tags => '{t}')") // found again
	run(t, conn, "reset role")
}

// TestTransactionGuideListsTheArguments compares the table with the function's own arguments and defaults.
func TestTransactionGuideListsTheArguments(t *testing.T) {
	t.Parallel()
	var arguments string
	err := connect(t).QueryRow(t.Context(), `select pg_get_function_arguments(p.oid) from pg_proc p where p.oid = 'scheduler.submit'::regproc`).Scan(&arguments)
	if err != nil {
		t.Fatal(err)
	}
	var have, documented []string
	for _, argument := range strings.Split(arguments, ", ") {
		words := strings.Fields(argument)
		kind := strings.Replace(strings.Join(words[1:], " "), "timestamp with time zone", "timestamptz", 1)
		have = append(have, words[0]+" "+strings.Fields(kind)[0])
	}
	for _, row := range tables(t, read(t, "guides/from-a-transaction.md"), "# Submit from inside a transaction") {
		documented = append(documented, unquote(row[0])+" "+row[1])
	}
	slices.Sort(have)
	slices.Sort(documented)
	if diff := cmp.Diff(have, documented); diff != "" {
		t.Errorf("arguments of scheduler.submit (-database +documented):\n%s", diff)
	}
}

// TestQueriesRun runs every query of the guides on a migrated database with something in it.
func TestQueriesRun(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	run(t, conn, `
		select scheduler.submit(kind => 'order.confirm', payload => '{"order": 7}', idempotency_key => 'order-7-confirm');
		select scheduler.submit(kind => 'mail.send', unique_key => 'import:7');
		select scheduler.submit(kind => k) from unnest('{old,recent,running}'::text[]) k;
		update scheduler.tasks set state = 'running', attempt = 1, worker_id = gen_random_uuid(), started_at = now() where kind <> 'order.confirm';
		insert into scheduler.leases (worker_id, queue, task_ids) select worker_id, queue, array[id] from scheduler.tasks where state = 'running';
		insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, started_at)
			select id, 1, queue, kind, 'failed', worker_id, started_at from scheduler.tasks where kind = 'mail.send';
		update scheduler.tasks set state = 'failed', finished_at = now(), failures = 10, error_code = 'error', error = 'no' where kind = 'mail.send';
		update scheduler.tasks set state = 'completed', finished_at = now() - interval '31 days' where kind = 'old';
		update scheduler.tasks set state = 'completed', finished_at = now() where kind = 'recent';
		insert into scheduler.schedules (name, expression, kind) values ('nightly', '0 3 * * *', 'x');
		insert into scheduler.workers (id, name, queues, kinds, slots, ttl_ms) values (gen_random_uuid(), 'w', '{default}', '{x}', 1, 15000);`)
	own := roles(t, conn, "shop", "analyst")
	for _, page := range []string{"guides/sql.md", "guides/operations.md", "guides/retries.md"} {
		text := read(t, page)
		for _, block := range blocks(text, "sql") {
			rows := run(t, conn, own.Replace(block))
			if asks := !strings.Contains(block, "grant "); asks && rows == 0 {
				t.Errorf("%s: %s: no rows", page, questionOf(text, block))
			}
		}
	}
	if n := run(t, conn, "select from scheduler.tasks where kind = 'old'"); n != 0 {
		t.Error("the old task is still there")
	}
	if n := run(t, conn, "select from scheduler.tasks where kind = 'mail.send' and state = 'ready'"); n != 1 {
		t.Error("the failed task was not brought back")
	}
}

// questionOf is the line of text before a block.
func questionOf(text, block string) string {
	before, _, _ := strings.Cut(text, "```sql\n"+block)
	lines := strings.Split(strings.TrimSpace(before), "\n")
	return lines[len(lines)-1]
}

// TestSQLGuideListsWhatThereIs compares the lists of tables and functions with a migrated database.
func TestSQLGuideListsWhatThereIs(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	inside := map[string]bool{"may_become": true, "refuse_transition": true, "backoff": true, "fingerprint": true, "check_submit": true,
		"clean_tags": true, "error_shape": true, "follow_tags": true, "tell_watchers": true,
		"pattern_path": true, "fan_out": true, "clean_trace": true, "backoff_fits": true} // of no use to people
	var relations, functions []string
	for into, query := range map[*[]string]string{
		&relations: `select relname::text from pg_class where relnamespace = 'scheduler'::regnamespace and relkind in ('r', 'v')`,
		&functions: `select distinct proname::text from pg_proc where pronamespace = 'scheduler'::regnamespace`,
	} {
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		if *into, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
	}
	have := slices.DeleteFunc(append(relations, functions...), func(name string) bool { return inside[name] })
	var documented []string
	for _, row := range tables(t, read(t, "guides/sql.md"), "# Look at everything with SQL") {
		name, _, _ := strings.Cut(unquote(row[0]), "(")
		documented = append(documented, name)
	}
	slices.Sort(have)
	slices.Sort(documented)
	if diff := cmp.Diff(have, documented); diff != "" {
		t.Errorf("guides/sql.md (-database +documented):\n%s", diff)
	}
}

// TestGoCompiles compiles every Go file that a page shows.
func TestGoCompiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := 0
	for _, page := range pages(t) {
		for _, block := range blocks(read(t, page), "go") {
			if !strings.HasPrefix(block, "package ") {
				t.Errorf("%s shows a piece of Go that is no file:\n%s", page, block)
				continue
			}
			n++
			file := filepath.Join(dir, fmt.Sprintf("snippet%d.go", n))
			if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			vet := exec.Command("go", "vet", file)
			vet.Dir = root
			if out, err := vet.CombinedOutput(); err != nil {
				t.Errorf("%s shows Go that does not compile: %v\n%s", page, err, out)
			}
			if out, err := exec.Command("gofmt", "-l", file).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s shows Go that is not formatted: %v\n%s", page, err, block)
			}
		}
	}
	if n < 4 {
		t.Errorf("%d Go files found, want those of the guides", n)
	}
}

// TestWatchGuideShowsAToken: the token of the guide is one of the test vectors, in both of its spellings.
func TestWatchGuideShowsAToken(t *testing.T) {
	t.Parallel()
	guide, vectors := read(t, "guides/watch-urls.md"), read(t, "../conformance/watch_tokens.json")
	token := regexp.MustCompile(`(?m)^/watch/(\S+)$`).FindStringSubmatch(guide)
	if token == nil || !strings.Contains(vectors, `"`+token[1]+`"`) {
		t.Fatalf("the guide's token %q is no test vector", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(token[1])
	if shown := strings.Join(strings.Fields(blocks(guide, "text")[0]), ""); err != nil || shown != hex.EncodeToString(raw) {
		t.Errorf("byte by byte it is %s", shown)
	}
}
