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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/cmd/scheduler/screen"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	flag.Parse()
	pgtest.Main(m, proc.Forget)
}

// binary is the program under test, built like its tests.
func binary(t *testing.T) string {
	if raceEnabled {
		return proc.Scheduler(t, "-race")
	}
	return proc.Scheduler(t)
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
	cmd := exec.Command(binary(c.t), args...)
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
	late := time.AfterFunc(proc.Patience, func() { _ = cmd.Process.Kill() })
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

// start starts the program; when the test ends, it is ended too, as by a supervisor.
func (c cli) start(args ...string) *proc.Process {
	c.t.Helper()
	return c.startCommand(c.command(args...))
}

func (c cli) startCommand(cmd *exec.Cmd) *proc.Process {
	c.t.Helper()
	p := proc.Start(c.t, cmd)
	c.t.Cleanup(func() {
		p.Signal(syscall.SIGTERM)
		_, _ = p.Wait() // if it does not end, it is killed
	})
	return p
}

// serve starts a server on a free port and returns its URL.
func serve(t *testing.T, url, token string) string {
	t.Helper()
	c := sqlDoor(t, url)
	c.env = append(c.env, "SCHEDULER_TOKEN="+token)
	return "http://" + c.start("serve", "--listen", "127.0.0.1:0").Says(`msg=serve address=(\S+)`)
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
func startWorker(t *testing.T, url string, args ...string) *proc.Process {
	t.Helper()
	p := sqlDoor(t, url).start(append([]string{"worker"}, args...)...)
	p.Says("msg=register")
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
	var stdout, stderr proc.Output
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
