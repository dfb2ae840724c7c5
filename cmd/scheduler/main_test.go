package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scheduler-cli-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // tests run it as another user too
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "scheduler")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return pgtest.Run(m)
}

// patience is how long a test waits for what must come.
const patienceLimit = 2 * time.Minute

// eventually polls a condition until it holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patienceLimit)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patienceLimit, what)
		case <-tick.C:
		}
	}
}

// result is what a run of the program left.
type result struct {
	code           int
	stdout, stderr string
}

// cli runs the program with an environment of its own.
type cli struct {
	t     *testing.T
	env   []string
	stdin string
}

// sqlDoor runs it against a database, httpDoor against a server.
func sqlDoor(t *testing.T, url string) cli {
	return cli{t: t, env: []string{"SCHEDULER_DATABASE_URL=" + url}}
}

func httpDoor(t *testing.T, server, token string) cli {
	return cli{t: t, env: []string{"SCHEDULER_URL=" + server, "SCHEDULER_TOKEN=" + token}}
}

// command prepares a run. Nothing of the test's own environment that the program reads gets through.
func (c cli) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Dir = c.t.TempDir()
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "TMPDIR=" + os.Getenv("TMPDIR"),
		"GORACE=atexit_sleep_ms=50", // each of a thousand runs would sleep for a second, the race detector's default
	}, c.env...)
	cmd.Stdin = strings.NewReader(c.stdin)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func (c cli) run(args ...string) result {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := c.command(args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	late := time.AfterFunc(patienceLimit, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// ok is run for what must succeed; it returns stdout without the last line's end.
func (c cli) ok(args ...string) string {
	c.t.Helper()
	r := c.run(args...)
	if r.code != 0 {
		c.t.Fatalf("%v: exit %d\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	return strings.TrimSuffix(r.stdout, "\n")
}

var threeLines = regexp.MustCompile(`(?m)^error: .+\nwhy:   .+\nrun:   .+\n\z`)

// fails is run for what must end with a code and an error of three lines; it returns stderr.
func (c cli) fails(code int, args ...string) string {
	c.t.Helper()
	r := c.run(args...)
	if r.code != code {
		c.t.Errorf("%v: exit %d, want %d\n%s%s", args, r.code, code, r.stdout, r.stderr)
	}
	if !threeLines.MatchString(r.stderr) {
		c.t.Errorf("%v: not an error of three lines:\n%s", args, r.stderr)
	}
	return r.stderr
}

// process is a run that goes on.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{}
}

// start starts the program; when the test ends, it is ended too.
func (c cli) start(args ...string) *process {
	c.t.Helper()
	return c.startCommand(c.command(args...))
}

func (c cli) startCommand(cmd *exec.Cmd) *process {
	c.t.Helper()
	p := &process{t: c.t, cmd: cmd, stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() { // ends with the process
		_ = cmd.Wait() // the exit code is in ProcessState
		close(p.ended)
	}()
	c.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-p.ended
		}
		if c.t.Failed() {
			c.t.Logf("%v\n%s%s", cmd.Args[1:], p.stdout, p.stderr)
		}
	})
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal %v: %v", s, err)
	}
}

// exit waits for the end and returns the code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patienceLimit):
		p.t.Fatalf("%v does not end\n%s%s", p.cmd.Args[1:], p.stdout, p.stderr)
		return -1
	}
}

// says waits for a text on stderr or stdout and returns what the expression's first group matched.
func (p *process) says(expression string) string {
	p.t.Helper()
	pattern := regexp.MustCompile(expression)
	var match []string
	eventually(p.t, fmt.Sprintf("%v says %q", p.cmd.Args[1:], expression), func() bool {
		match = pattern.FindStringSubmatch(p.stdout.String() + p.stderr.String())
		if match == nil && p.over() {
			p.t.Fatalf("%v ended without saying %q\n%s%s", p.cmd.Args[1:], expression, p.stdout, p.stderr)
		}
		return match != nil
	})
	return match[len(match)-1]
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// output is what a process wrote. Safe for concurrent use.
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

// serve starts a server on a free port and returns its URL.
func serve(t *testing.T, url, token string) string {
	t.Helper()
	c := sqlDoor(t, url)
	c.env = append(c.env, "SCHEDULER_TOKEN="+token)
	return "http://" + c.start("serve", "--listen", "127.0.0.1:0").says(`msg=serve address=(\S+)`)
}

// bothDoors runs a test against a database of its own through each door.
func bothDoors(t *testing.T, test func(t *testing.T, url string, c cli)) {
	t.Run("sql", func(t *testing.T) {
		t.Parallel()
		url := pgtest.DB(t)
		test(t, url, sqlDoor(t, url))
	})
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		url := pgtest.DB(t)
		test(t, url, httpDoor(t, serve(t, url, "secret"), "secret"))
	})
}

// worker starts a worker and waits until it is registered.
func startWorker(t *testing.T, url string, args ...string) *process {
	t.Helper()
	p := sqlDoor(t, url).start(append([]string{"worker"}, args...)...)
	p.says("msg=register")
	return p
}

// connect opens a connection for a test's own look at the database.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// value reads one value.
func value[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func execute(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// inProcess runs a command line within the test, for what needs no process of its own.
type inProcess struct {
	env           map[string]string
	stdin         string
	stdinTerminal bool
	columns       int // of terminals for both streams; 0: none
}

func (i inProcess) run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr output
	a := &app{
		stdin: strings.NewReader(i.stdin), stdinTerminal: i.stdinTerminal, draining: new(atomic.Bool),
		screen:    &screen.Screen{Out: &stdout, Err: &stderr, Color: true},
		lookupEnv: func(name string) (string, bool) { v, ok := i.env[name]; return v, ok },
	}
	if i.columns > 0 {
		width := func() int { return i.columns }
		a.screen.OutColumns, a.screen.ErrColumns = width, width
	}
	return result{a.main(t.Context(), args), stdout.String(), stderr.String()}
}

// golden compares text with a file of testdata, or rewrites it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is stale; go test ./cmd/scheduler -update rewrites it\n%s", path, firstDifference(string(want), got))
	}
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		line := func(l []string) string {
			if i < len(l) {
				return l[i]
			}
			return "(end)"
		}
		if line(a) != line(b) {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, line(a), line(b))
		}
	}
	return ""
}
