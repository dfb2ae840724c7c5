package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// session is a run of commands, one after the other, and what they printed. {n} stands for the nth id that was printed.
type session struct {
	t          *testing.T
	c          cli
	ids        []string
	transcript strings.Builder
}

var placeholder = regexp.MustCompile(`\{(\d+)\}`)

func (s *session) do(line string) {
	s.t.Helper()
	argv, err := splitArgv(placeholder.ReplaceAllStringFunc(line, func(p string) string {
		n, _ := strconv.Atoi(p[1 : len(p)-1]) // digits only
		if n > len(s.ids) {
			s.t.Fatalf("%s: there were only %d ids", line, len(s.ids))
		}
		return s.ids[n-1]
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	r := s.c.run(argv...)
	fmt.Fprintf(&s.transcript, "$ scheduler %s\n%s%s", line, s.plain(r.stdout), s.plain(r.stderr))
	if r.code != 0 {
		fmt.Fprintf(&s.transcript, "exit %d\n", r.code)
	}
}

var (
	uuidPattern = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// What differs from run to run, and what stands for it.
	varying = []struct {
		pattern *regexp.Regexp
		with    string
	}{
		{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<time>"},
		{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?(\+00| UTC)`), "<time>"},
		{regexp.MustCompile(`\d\d:\d\d:\d\d(\.\d+)?`), "<clock>"},
		{regexp.MustCompile(`"(revision|pid|running|duration_ms|oldest_ready_ms|memory_bytes)":\d+`), `"$1":<n>`},
		{regexp.MustCompile(`"next_cursor":"[^"]+"`), `"next_cursor":"<cursor>"`},
		{regexp.MustCompile(`--cursor \S+,`), "--cursor <cursor>,"},
		{regexp.MustCompile(`"(host|version)":"[^"]*"`), `"$1":"<$1>"`},
		{regexp.MustCompile(`\b\d+/10  `), "<n>/10  "},
		// As screen.Span has it, 9.9s, 1m32s, 2h5m, and as scheduler.spell does, 9 s, 1 min 26 s, 59 min: on a busy machine it may be a minute.
		{regexp.MustCompile(`\b\d+(m\d+s|h\d+m|(\.\d+)? ?(ms|s|min|h)( \d+ (s|min))?)\b`), span},
		{regexp.MustCompile(`  +`), "  "},
	}
)

// plain replaces ids by their numbers, and what else varies by its name.
func (s *session) plain(text string) string {
	text = uuidPattern.ReplaceAllStringFunc(text, func(id string) string {
		n := slices.Index(s.ids, id)
		if n < 0 {
			n, s.ids = len(s.ids), append(s.ids, id)
		}
		return fmt.Sprintf("{%d}", n+1)
	})
	return everyLine.ReplaceAllStringFunc(text, func(line string) string {
		for _, v := range varying {
			if v.with != span || !chosen.MatchString(line) {
				line = v.pattern.ReplaceAllString(line, v.with)
			}
		}
		return line
	})
}

const span = "<span>"

var (
	everyLine = regexp.MustCompile(`.+`)
	chosen    = regexp.MustCompile(`^(timeout|backoff) `) // spans that do not vary
)

// Every command, as text and as JSON, prints the same through both doors, and what it did yesterday.
func TestEveryCommandThroughBothDoors(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(filepath.Join("testdata", "doors.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // guards transcripts: the doors run beside each other
	transcripts := map[string]string{}
	t.Run("both", func(t *testing.T) {
		bothDoors(t, func(t *testing.T, url string, c cli) {
			w := startWorker(t, url, "--demo", "--exec", `hi=sh -c 'echo "hi there"; printf "\033[31mred\n"'`, "--name", "wk")
			s := &session{t: t, c: c}
			for line := range strings.Lines(string(script)) {
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
					s.do(line)
				}
				if strings.HasPrefix(line, "workers stop ") {
					w.Exit() // the next command finds it gone
				}
			}
			mu.Lock()
			defer mu.Unlock()
			transcripts[filepath.Base(t.Name())] = s.transcript.String()
		})
	})
	if transcripts["sql"] != transcripts["http"] {
		t.Errorf("the doors differ (want: SQL, got: HTTP)\n%s", firstDifference(transcripts["sql"], transcripts["http"]))
	}
	golden(t, filepath.Join("testdata", "doors.golden"), transcripts["sql"])
}

// What is read is the same to the byte.
func TestReadingIsTheSameToTheByte(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	sql, http := sqlDoor(t, url), httpDoor(t, serve(t, url, "t"), "t")
	w := startWorker(t, url, "--demo", "--name", "wk")
	done := sql.ok("submit", "demo.sleep", `{"seconds":0.2, "z": "<&>  ✓"}`)
	sql.ok("tasks", "watch", done)
	sql.ok("schedules", "set", "nightly", "0 3 29 2 *", "a", "--tz", "Europe/Paris", "--backoff", "1s,2s")
	for range 3 {
		sql.ok("submit", "a", "--queue", "idle")
	}
	w.Signal(os.Interrupt) // a heartbeat between two looks would make a difference
	if code := w.Exit(); code != 0 {
		t.Fatalf("worker: exit %d", code)
	}
	for _, command := range []string{"tasks get " + done, "tasks list", "tasks list --limit 2", "tasks list --all --state ready", "tasks logs " + done,
		"workers list", "schedules list", "schedules next nightly -n 3"} {
		for _, format := range []string{"json", "text"} {
			args := append(strings.Fields(command), "-o", format)
			a, b := sql.run(args...), http.run(args...)
			if a != b || a.code != 0 {
				t.Errorf("%v:\nSQL  %+v\nHTTP %+v", args, a, b)
			}
		}
	}
	// A cursor of one door is one of the other's.
	cursor := regexp.MustCompile(`"next_cursor":"([^"]+)"`).FindStringSubmatch(sql.ok("tasks", "list", "--limit", "2", "-o", "json"))[1]
	if a, b := sql.ok("tasks", "list", "--cursor", cursor), http.ok("tasks", "list", "--cursor", cursor); a != b || strings.Count(a, "\n") != 2 {
		t.Errorf("second page:\n%s\n%s", a, b)
	}
	// Pages join to the whole.
	var joined string
	for line := range strings.Lines(http.ok("tasks", "list", "--all", "-o", "json")) {
		joined += line
	}
	if ids := uuidPattern.FindAllString(joined, -1); !slices.Contains(ids, done) {
		t.Errorf("--all lacks %s", done)
	}
}

func TestListFollowsPages(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, url string, c cli) {
		execute(t, connect(t, url), "insert into scheduler.tasks (kind) select 'a' from generate_series(1, 1203)")
		lines := func(args ...string) int {
			return strings.Count(c.ok(append([]string{"tasks", "list"}, args...)...), "\n") // one less than with the header
		}
		for args, want := range map[string]int{"": 50, "--limit 7": 7, "--limit 501": 501, "--all": 1203, "--limit 5000": 1203} {
			if got := lines(strings.Fields(args)...); got != want {
				t.Errorf("%q: %d tasks, want %d", args, got, want)
			}
		}
		if r := c.run("tasks", "list"); !strings.Contains(r.stderr, "--cursor") {
			t.Errorf("nothing says that there are more: %q", r.stderr)
		}
		if r := c.run("tasks", "list", "--all"); r.stderr != "" {
			t.Errorf("--all says %q", r.stderr)
		}
	})
}
