//go:build unix

package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/example"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// patience bounds every wait of these tests; nothing takes so long unless it never happens.
const patience = 60 * time.Second

// binary is the scheduler, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scheduler-clients-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "scheduler")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/scheduler").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return pgtest.Run(m)
}

// need skips the test where a program is missing; with CI=true that is a failure.
func need(t *testing.T, program, pack string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		message := fmt.Sprintf("there is no %s; on Debian: apt-get install %s", program, pack)
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
}

// TestUnits runs what each client tests by itself.
func TestUnits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, pack, dir, argv string }{
		{"node", "nodejs", "node", "node --test"},
		{"types", "node-typescript", "node", "tsc -p tests/tsconfig.json"},
		{"python", "python3", "python", "python3 -W error -m unittest discover -s tests"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			argv := strings.Fields(test.argv)
			need(t, argv[0], test.pack)
			cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
			cmd.Dir = test.dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestTypesAreFound: the compiler says so when a type is not as it was promised.
func TestTypesAreFound(t *testing.T) {
	t.Parallel()
	need(t, "tsc", "node-typescript")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
		t.Fatal(err)
	}
	types := filepath.Join(dir, "index.d.ts")
	text, err := os.ReadFile(types)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(types, bytes.Replace(text, []byte("kind: string;"), []byte("kind?: string;"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "tsc", "-p", filepath.Join(dir, "tests", "tsconfig.json"))
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "Unused '@ts-expect-error'") {
		t.Errorf("%v\n%s", err, out)
	}
}

// snippet is a program of a README: a block whose first line is its name.
type snippet struct {
	name, text string
	prints     []string
}

// snippets returns the blocks of a language, and nothing that is no program.
func snippets(t *testing.T, page, language, comment string) []snippet {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var list []snippet
	for _, block := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		first, _, _ := strings.Cut(block[1], "\n")
		name, ok := strings.CutPrefix(first, comment+" ")
		if !ok || strings.ContainsAny(name, " /") {
			t.Errorf("%s: a block that begins with %q and no name of a file", page, first)
			continue
		}
		s := snippet{name: name, text: block[1]}
		for _, line := range regexp.MustCompile(comment+` prints: (.*)`).FindAllStringSubmatch(block[1], -1) {
			s.prints = append(s.prints, line[1])
		}
		list = append(list, s)
	}
	return list
}

// TestPages runs the snippets of each README and guide: the worker in the background, once by itself and once as a child, and
// a web process if there is one; the others in their order.
func TestPages(t *testing.T) {
	t.Parallel()
	languages := map[string]struct {
		interpreter, pack, comment, ending string
		install                            func(t *testing.T, dir string)
	}{
		"js":     {"node", "nodejs", "//", ".js", installNode},
		"python": {"python3", "python3", "#", ".py", installPython},
	}
	for _, test := range []struct{ page, language, queue string }{
		{"node/README.md", "js", "mail"}, {"../docs/guides/node.md", "js", "reports"},
		{"python/README.md", "python", "mail"}, {"../docs/guides/python.md", "python", "reports"},
	} {
		its := languages[test.language]
		for _, door := range []string{"leases", "child"} {
			t.Run(test.page+"/"+door, func(t *testing.T) {
				t.Parallel()
				need(t, its.interpreter, its.pack)
				s := newStage(t)
				its.install(t, s.dir)
				programs := snippets(t, test.page, test.language, its.comment)
				if len(programs) < 4 {
					t.Fatalf("%d programs", len(programs))
				}
				for _, p := range programs {
					if err := os.WriteFile(filepath.Join(s.dir, p.name), []byte(p.text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				s.work(its.interpreter, "worker"+its.ending, door, test.queue)
				for _, p := range programs {
					switch p.name {
					case "worker" + its.ending:
					case "server" + its.ending:
						s.serve(its.interpreter, p.name)
					default:
						s.run(its.interpreter, p)
					}
				}
			})
		}
	}
}

func installNode(t *testing.T, dir string) {
	t.Helper()
	link(t, "node", filepath.Join(dir, "node_modules", "@pgscheduler", "scheduler"))
	link(t, "testdata/node/pg", filepath.Join(dir, "node_modules", "pg"))
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"type": "module"}`), 0o600); err != nil {
		t.Fatal(err)
	}
}

func installPython(t *testing.T, dir string) {
	t.Helper()
	link(t, "python/pgscheduler.py", filepath.Join(dir, "pgscheduler.py"))
	link(t, "testdata/python/psycopg.py", filepath.Join(dir, "psycopg.py"))
}

func link(t *testing.T, from, to string) {
	t.Helper()
	from, err := filepath.Abs(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o700)
	}
	if err == nil {
		err = os.Symlink(from, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stage is a server with a database, and a folder for programs.
type stage struct {
	t        *testing.T
	dir      string
	database string
	env      []string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir(), database: pgtest.DB(t)}
	_, server := s.start([]string{binary, "serve", "--listen", "127.0.0.1:0"}, []string{"SCHEDULER_DATABASE_URL=" + s.database, "SCHEDULER_TOKEN=secret"},
		`msg=serve address=(\S+)`)
	s.env = []string{"SCHEDULER_URL=http://" + server, "SCHEDULER_TOKEN=secret", "DATABASE_BRIDGE=" + bridge(t, s.database)}
	return s
}

// environment is that of the test without what would lead a program elsewhere.
func environment() []string {
	var kept []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "SCHEDULER_") && !strings.HasPrefix(pair, "PG") && !strings.HasPrefix(pair, "DATABASE_") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// start runs a program until the test ends, and waits until it has said something on stderr.
func (s *stage) start(argv, env []string, says string) (*exec.Cmd, string) {
	s.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = s.dir, append(environment(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said := &output{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", strings.Join(argv, " "), said)
		}
	})
	pattern := regexp.MustCompile(says)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); says != ""; <-tick.C {
		if found := pattern.FindStringSubmatch(said.String()); found != nil {
			return cmd, found[len(found)-1]
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%s never said %s", strings.Join(argv, " "), says)
		}
	}
	return cmd, ""
}

// work starts the worker.
func (s *stage) work(interpreter, program, door, queue string) {
	s.t.Helper()
	if door == "leases" {
		s.start([]string{interpreter, program}, s.env, "")
		return
	}
	s.start([]string{binary, "worker", "--cmd", interpreter + " " + program, "--queue", queue}, []string{"SCHEDULER_DATABASE_URL=" + s.database}, "")
}

// serve starts a web process, and waits until it answers.
func (s *stage) serve(interpreter, program string) {
	s.t.Helper()
	port := example.FreePort(s.t)
	address := "127.0.0.1:" + port
	s.env = append(s.env, "PORT="+port)
	s.start([]string{interpreter, program}, s.env, "")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); ; <-tick.C {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%s never listened", program)
		}
	}
}

// run runs a program to its end, and compares what it prints with what its comments say.
func (s *stage) run(interpreter string, p snippet) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), interpreter, p.name)
	cmd.Dir, cmd.Env = s.dir, append(environment(), s.env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s: %v\n%s", p.name, err, problems.String())
	}
	got, want := strings.Split(strings.TrimSpace(out.String()), "\n"), slices.Clone(p.prints)
	slices.Sort(got) // lines of a log and the task itself are followed side by side
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Errorf("%s prints\n%s\nwant\n%s", p.name, out.String(), strings.Join(p.prints, "\n"))
	}
}

// bridge is a database behind HTTP, one session, for what stands for drivers in tests. Values travel as text, as theirs do.
func bridge(t *testing.T, database string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "create table orders (id bigint generated always as identity, customer text)"); err != nil {
		t.Fatal(err)
	}
	var one sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		rows, err := query(r, conn)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(rows) // the client may be gone
	}))
	t.Cleanup(func() {
		server.Close()
		_ = conn.Close(t.Context()) // its database goes anyway
	})
	return server.URL
}

func query(r *http.Request, conn *pgx.Conn) ([]map[string]string, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var in struct {
		SQL    string
		Values []*string
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, err
	}
	values := make([][]byte, len(in.Values))
	for i, v := range in.Values {
		if v != nil {
			values[i] = []byte(*v)
		}
	}
	result := conn.PgConn().ExecParams(r.Context(), in.SQL, values, nil, nil, nil).Read()
	rows := []map[string]string{}
	for _, row := range result.Rows {
		fields := map[string]string{}
		for i, d := range result.FieldDescriptions {
			fields[d.Name] = string(row[i])
		}
		rows = append(rows, fields)
	}
	return rows, result.Err
}

// output is what a process said.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
