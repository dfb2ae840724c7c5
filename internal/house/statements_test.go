package house

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// statements returns the files of folder sql by name.
func statements(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(root + "/sql/*.sql")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	list := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list[strings.TrimSuffix(filepath.Base(file), ".sql")] = string(text)
	}
	return list
}

// header returns the comment at the top of a statement, and the rest.
func header(text string) (comment, rest string) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "--") {
			break
		}
		comment += line
	}
	return comment, text[len(comment):]
}

var (
	argument = regexp.MustCompile(`[@$]\w+`)
	writes   = regexp.MustCompile(`(?m)^\s*(?:insert into|update|delete from|with \w+ as \(\s*(?:insert|update|delete))|(?:insert into|update|delete from) scheduler\.`)
)

// A statement's header says its name and purpose, every argument, what its rows mean and what it locks; it is short, since
// pg_stat_activity cuts long texts.
func TestHeadersOfStatements(t *testing.T) {
	t.Parallel()
	for name, text := range statements(t) {
		comment, body := header(text)
		if !strings.HasPrefix(comment, "-- "+name+": ") {
			t.Errorf("%s.sql does not begin with its name: %.60q", name, text)
		}
		if !strings.Contains(comment, "Rows:") {
			t.Errorf("%s.sql does not say what its rows mean", name)
		}
		if writes.MatchString(body) && !strings.Contains(comment, "Locks:") && name != "register" {
			t.Errorf("%s.sql writes and does not say what it locks", name)
		}
		if lines := strings.Count(comment, "\n"); lines > 6 || len(comment) > 900 {
			t.Errorf("the header of %s.sql has %d lines, %d bytes", name, lines, len(comment))
		}
		for _, used := range argument.FindAllString(body, -1) {
			if !strings.Contains(comment, used) && used != "@state" {
				t.Errorf("the header of %s.sql does not say what %s is", name, used)
			}
		}
		if strings.Contains(body, ";") {
			t.Errorf("%s.sql holds more than one statement", name)
		}
	}
}

// Statements that a worker or a submit runs again and again are about one queue, which they name by an equality; so are all
// writes by a worker, which also name task, worker, attempt and state.
func TestHotStatementsNameTheirQueue(t *testing.T) {
	t.Parallel()
	all := statements(t)
	equality := regexp.MustCompile(`\bqueue = (\$\d+::text|@queue)\b`)
	for _, name := range []string{"lease", "lease_scout", "lease_tail", "complete", "complete_tx", "report", "report_tx", "log", "fail", "snooze", "release", "submit_conflict"} {
		if !equality.MatchString(all[name]) {
			t.Errorf("%s.sql names no queue", name)
		}
	}
	if !strings.Contains(all["submit"], "select r.id, $1::text,") {
		t.Error("submit.sql inserts into more than one queue")
	}
	for _, name := range []string{"complete", "complete_tx", "report", "report_tx", "log", "fail", "snooze", "release"} {
		for _, guard := range []string{`worker_id = (\$1::uuid|@worker)`, `attempt = (d\.attempt|@attempt\b|\$4::integer|\((@attempts|\$4)::integer\[\]\)\[width_bucket\(t\.id, )`, `state = 'running'`, `\bid = (d\.(task_)?id|@id\b|\$3|any \((@ids|\$3)::uuid)`} {
			if !regexp.MustCompile(guard).MatchString(all[name]) {
				t.Errorf("%s.sql is not guarded by %s", name, guard)
			}
		}
	}
}

// One clock, the database's: no statement takes the present time as an argument, and nothing is chosen without a bound or a key.
func TestStatementsUseTheDatabasesClock(t *testing.T) {
	t.Parallel()
	for name, text := range statements(t) {
		_, body := header(text)
		if regexp.MustCompile(`@now\b|current_timestamp|localtime`).MatchString(body) {
			t.Errorf("%s.sql uses another clock", name)
		}
	}
}

var sqlText = regexp.MustCompile(`(?is)\bselect\b.{1,400}\bfrom\b\s+\w|\binsert\s+into\b|\bupdate\s+\S+\s+set\b|\bdelete\s+from\b|\b(create|drop|alter)\s+(table|database|schema|index|role|user)\b|^(un)?listen |^\s*select\s+(pg_|scheduler\.)`)

// elsewhere are files outside of folder sql that may hold SQL, and why.
var elsewhere = map[string]string{
	"migrations/migrations.go": "makes the schema, and looks for it, before any statement can be prepared on it",
	"scheduler/ear.go":         "LISTEN takes no arguments",
	"scheduler/doctor.go":      "LISTEN takes no arguments",
	"internal/":                "clusters, databases and loads for tests and measurements",
	"examples/":                "a stranger's program with tables of its own",
	"cmd/scheduler/doctor.go":  "tells a person what to type",
}

// No SQL is put together in Go. This looks at string literals, so that it finds the habit, not every trick.
func TestNoSQLInGo(t *testing.T) {
	t.Parallel()
	eachFile(t, func(_ pack, name string, file *ast.File) {
		for prefix := range elsewhere {
			if strings.HasPrefix(name, prefix) {
				return
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(literal.Value); err == nil && sqlText.MatchString(text) {
				t.Errorf("%s: %.80q", name, text)
			}
			return true
		})
	})
}

// Only tests may age rows or wait: production SQL carries no branch for them, and no test sleeps.
func TestTestsDoNotSleep(t *testing.T) {
	t.Parallel()
	sleep := regexp.MustCompile(`\btime\.Sleep\(`)
	for _, p := range all(t) {
		for _, base := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			text, err := os.ReadFile(filepath.Join(p.Dir, base))
			if err != nil {
				t.Fatal(err)
			}
			if sleep.Match(text) {
				t.Errorf("%s/%s sleeps", p.name(), base)
			}
		}
	}
}
