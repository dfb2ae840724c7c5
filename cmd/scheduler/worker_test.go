package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// script writes an executable for --exec and returns its path.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "task.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// taskOf is a task as the program prints it.
type taskOf struct {
	State    string
	Attempt  int
	Result   json.RawMessage
	Progress *struct {
		Current, Total int
		Message        string
	}
	Error *struct{ Code, Message string }
}

func TestExecTellsEverything(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	path := script(t, `
echo "args: $1|$2"
echo "env: $SCHEDULER_KIND $SCHEDULER_QUEUE $SCHEDULER_ATTEMPT ${SCHEDULER_DATABASE_URL:-no url}"
read -r payload
echo '{"op":"progress","current":3,"total":4,"message":"nearly"}' >&3
echo '{"op":"log","message":"by the way"}' >&3
echo "{\"op\":\"result\",\"result\":{\"got\":$payload}}" >&3
`)
	startWorker(t, url, "--exec", "k="+path+` 'a b' "c\"d"`)
	c := sqlDoor(t, url)
	id := c.ok("submit", "k", `{"x": [1, 2]}`)
	c.ok("tasks", "watch", id)
	task := unmarshal[taskOf](t, c.ok("tasks", "get", id, "-o", "json"))
	if task.State != "completed" || string(task.Result) != `{"got":{"x":[1,2]}}` || task.Progress == nil || task.Progress.Current != 3 || task.Progress.Message != "nearly" {
		t.Errorf("%+v %s", task, task.Result)
	}
	logs := c.ok("tasks", "logs", id)
	for _, want := range []string{`1 stdout  args: a b|c"d`, "1 stdout  env: k default 1 no url", "1 log     by the way"} {
		if !strings.Contains(logs, want) {
			t.Errorf("logs lack %q:\n%s", want, logs)
		}
	}
}

func TestExecExitCodes(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	startWorker(t, url, "--exec", "k="+script(t, `read -r code; echo "said on stderr" >&2; exit "$code"`))
	c := sqlDoor(t, url)
	for _, test := range []struct {
		code    int
		state   string
		attempt int
	}{{0, "completed", 1}, {64, "failed", 1}, {65, "failed", 1}, {66, "failed", 1}, {78, "failed", 1}, {75, "failed", 2}, {1, "failed", 2}, {255, "failed", 2}} {
		r := c.run("submit", "k", strconv.Itoa(test.code), "--max-attempts", "2", "--backoff", "1ms", "--wait=1m", "-o", "json")
		task := unmarshal[taskOf](t, r.stdout)
		if task.State != test.state || task.Attempt != test.attempt {
			t.Errorf("exit %d: %+v", test.code, task)
		}
		if want := fmt.Sprintf("exit_%d", test.code); test.code != 0 && (r.code != exitTaskFailed || task.Error == nil || task.Error.Code != want || !strings.Contains(task.Error.Message, "said on stderr")) {
			t.Errorf("exit %d: %+v, %+v", test.code, task.Error, r)
		}
	}
}

func TestQueuesAndNotificationsOff(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	startWorker(t, url, "--demo", "--queue", "a:2,b", "--queue", "c", "--concurrency", "3", "--poll-only", "--poll", "50ms", "--name", "poller",
		"--heartbeat", "10s", "--lease-ttl", "40s")
	c := sqlDoor(t, url)
	for _, queue := range []string{"a", "b", "c"} {
		if got := c.ok("submit", "demo.echo", "7", "--queue", queue, "--wait=1m"); got != "7" {
			t.Errorf("%s: %q", queue, got)
		}
	}
	c.fails(exitTimeout, "submit", "demo.echo", "--queue", "d", "--wait=300ms")
	workers := c.ok("workers", "list", "-o", "json")
	for _, want := range []string{`"queues":["a","b","c"]`, `"slots":3`, `"name":"poller"`, `"ttl_ms":40000`} {
		if !strings.Contains(workers, want) {
			t.Errorf("%s lacks %s", workers, want)
		}
	}
}

func TestBadWorkerSettings(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	for _, args := range []string{"--lease-ttl 6s --heartbeat 5s", "--concurrency 20000", "--queue a,a", "--queue ?", "--poll 1ms", "--heartbeat 1ms"} {
		stderr := sqlDoor(t, url).fails(exitUsage, append([]string{"worker", "--demo"}, strings.Fields(args)...)...)
		if flag, _, _ := strings.Cut(args, " "); !strings.Contains(stderr, flag) || strings.Contains(stderr, "Config") {
			t.Errorf("%s: %s", args, stderr)
		}
	}
}

// pidOf waits for a file that a script writes its process id into.
func pidOf(t *testing.T, path string) (pid int) {
	t.Helper()
	proc.Await(t, path+" is written", func() bool {
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasSuffix(string(text), "\n") {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	return pid
}

func gone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

func stateOf(t *testing.T, c cli, id string) string {
	t.Helper()
	return unmarshal[taskOf](t, c.ok("tasks", "get", id, "-o", "json")).State
}

// The first signal lets running tasks finish, and takes no more.
func TestFirstSignalDrains(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		url := pgtest.DB(t)
		c := sqlDoor(t, url)
		dir := t.TempDir()
		w := startWorker(t, url, "--concurrency", "1", "--exec",
			"k="+script(t, fmt.Sprintf("echo $$ > %s/pid; while [ ! -e %s/go ]; do sleep 0.02; done", dir, dir)))
		id := c.ok("submit", "k")
		pidOf(t, filepath.Join(dir, "pid"))
		later := c.ok("submit", "k")
		w.Signal(signal)
		w.Says("msg=\"drain: a second signal")
		if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if code := w.Exit(); code != exitOK {
			t.Errorf("%v: exit %d", signal, code)
		}
		if one, two := stateOf(t, c, id), stateOf(t, c, later); one != "completed" || two != "ready" {
			t.Errorf("%v: the running task is %s, the waiting one %s", signal, one, two)
		}
	}
}

// again sends a process one more signal, once it cannot be taken for a copy of the one whose note was seen, and waits for its own note.
func again(t *testing.T, p *proc.Process, s os.Signal, note string) {
	t.Helper()
	seen := time.Now() // later than the process counted the one before
	proc.Await(t, "another signal is another one", func() bool { return time.Since(seen) > repeat })
	p.Signal(s)
	p.Says(note)
}

// The second signal hands tasks back without waiting for them: no failure is counted, and no child is left.
func TestSecondSignalHandsBack(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	dir := t.TempDir()
	w := startWorker(t, url, "--drain-timeout", "10m", "--exec", "k="+script(t, fmt.Sprintf("trap '' TERM; echo $$ > %s/pid; sleep 1000", dir)))
	id := c.ok("submit", "k")
	pid := pidOf(t, filepath.Join(dir, "pid"))
	w.Signal(syscall.SIGTERM)
	w.Says("msg=\"drain: a second signal")
	again(t, w, syscall.SIGTERM, "abort: second signal")
	if code := w.Exit(); code != exitFailure || !threeLines.MatchString(w.Stderr.String()) {
		t.Errorf("exit %d\n%s", code, w.Stderr)
	}
	proc.Await(t, "the child is gone", func() bool { return gone(pid) })
	conn := connect(t, url)
	if state, failures := stateOf(t, c, id), value[int](t, conn, "select failures from scheduler.tasks"); state != "ready" || failures != 0 {
		t.Errorf("%s with %d failures", state, failures)
	}
	if n := value[int](t, conn, "select count(*) from scheduler.workers"); n != 0 {
		t.Errorf("%d workers are left", n)
	}
}

// The drain timeout does the same without a second signal, and the exit code says that all was in order.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	for _, timeout := range []string{"0", "50ms"} {
		dir := t.TempDir()
		w := startWorker(t, url, "--drain-timeout", timeout, "--exec", "k="+script(t, fmt.Sprintf("echo $$ > %s/pid; exec sleep 1000", dir)))
		id := c.ok("submit", "k")
		pid := pidOf(t, filepath.Join(dir, "pid"))
		w.Signal(syscall.SIGTERM)
		if code := w.Exit(); code != exitOK {
			t.Errorf("%s: exit %d", timeout, code)
		}
		proc.Await(t, "the child is gone", func() bool { return gone(pid) })
		if state := stateOf(t, c, id); state != "ready" {
			t.Errorf("%s: the task is %s", timeout, state)
		}
		c.ok("tasks", "cancel", id)
	}
}

// postmaster is the parent of a backend.
func postmaster(t *testing.T, backend int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", backend))
	if err != nil {
		t.Skip("no /proc to look for processes in")
	}
	pid, err := strconv.Atoi(string(regexp.MustCompile(`(?m)^PPid:\s+(\d+)$`).FindSubmatch(status)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// With the database frozen even handing back hangs; the third signal ends the process all the same.
func TestThirdSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	pg := pgtest.Server(t, nil)
	url := pg.URL("scheduler")
	sqlDoor(t, url).ok("migrate")
	dir := t.TempDir()
	w := startWorker(t, url, "--drain-timeout", "10m", "--exec", "k="+script(t, fmt.Sprintf("echo $$ > %s/pid; exec sleep 1000", dir)))
	sqlDoor(t, url).ok("submit", "k")
	pid := pidOf(t, filepath.Join(dir, "pid"))
	conn := connect(t, url)
	freeze := func(pid int) {
		t.Helper()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) }) // it may be gone
	}
	freeze(postmaster(t, value[int](t, conn, "select pg_backend_pid()"))) // or the worker gets another connection
	backends := value[[]int](t, conn, "select array_agg(pid) from pg_stat_activity where pid <> pg_backend_pid() and application_name = 'scheduler'")
	for _, backend := range backends {
		freeze(backend)
	}
	if len(backends) == 0 {
		t.Fatal("the worker has no connection")
	}
	w.Signal(syscall.SIGTERM)
	w.Says("msg=\"drain: a second signal")
	again(t, w, syscall.SIGTERM, "abort: second signal")
	proc.Await(t, "it ends by the third signal", func() bool {
		_ = w.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		return w.Ended()
	})
	if code := w.Exit(); code != exitTerminated {
		t.Errorf("exit %d, want %d", code, exitTerminated)
	}
	proc.Await(t, "the child is gone", func() bool { return gone(pid) })
}

// A worker that is killed takes the commands that it runs with it: another one may start them again.
func TestKilledWorkerLeavesNoChild(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	dir := t.TempDir()
	exec := "k=" + script(t, fmt.Sprintf("echo $$ > %s/pid.$SCHEDULER_ATTEMPT; exec sleep 1000", dir))
	w := startWorker(t, url, "--exec", exec)
	id := c.ok("submit", "k")
	pid := pidOf(t, filepath.Join(dir, "pid.1"))
	w.Signal(syscall.SIGKILL)
	w.Exit()
	execute(t, connect(t, url), "update scheduler.workers set seen_at = seen_at - interval '1 hour'") // as if it had been silent for so long
	proc.Await(t, "the child is gone", func() bool { return gone(pid) })
	startWorker(t, url, "--drain-timeout", "0", "--exec", exec)
	pidOf(t, filepath.Join(dir, "pid.2"))
	task := unmarshal[taskOf](t, c.ok("tasks", "get", id, "-o", "json"))
	if task.State != "running" || task.Attempt != 2 {
		t.Errorf("%+v", task)
	}
}

func TestCancelReachesTheChild(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, url string, c cli) {
		dir := t.TempDir()
		startWorker(t, url, "--demo", "--exec", "k="+script(t, fmt.Sprintf("echo $$ > %s/pid; exec sleep 1000", dir)))
		for kind, payload := range map[string]string{"k": "{}", "demo.sleep": `{"seconds": 1000}`} {
			id := c.ok("submit", kind, payload)
			proc.Await(t, kind+" runs", func() bool { return stateOf(t, c, id) == "running" })
			if kind == "k" {
				pidOf(t, filepath.Join(dir, "pid"))
			}
			if got := c.ok("tasks", "cancel", id); got != id+"  running, asked to stop" && got != id+"  cancelled" { // it may be quick
				t.Errorf("%s: %q", kind, got)
			}
			c.fails(exitTaskFailed, "tasks", "watch", id)
			if state := stateOf(t, c, id); state != "cancelled" {
				t.Errorf("%s: %s", kind, state)
			}
		}
		proc.Await(t, "the child is gone", func() bool { return gone(pidOf(t, filepath.Join(dir, "pid"))) })
	})
}

// A worker that was told to stop from afar ends as after a signal.
func TestWorkersStop(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, url string, c cli) {
		w := startWorker(t, url, "--demo")
		id := w.Says(`worker_id=(\S+)`)
		c.ok("workers", "stop", id)
		if code := w.Exit(); code != exitOK {
			t.Errorf("exit %d\n%s", code, w.Stderr)
		}
		if got := c.ok("workers", "list", "-o", "json"); got != `{"items":[]}` {
			t.Errorf("it is still listed: %s", got)
		}
	})
}

func TestLogFormatAndLevel(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	w := sqlDoor(t, url).start("worker", "--demo", "--log-format", "json", "--log-level", "debug")
	w.Says(`"msg":"register"`)
	w.Signal(syscall.SIGTERM)
	w.Exit()
	for line := range strings.Lines(w.Stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	quiet := sqlDoor(t, url).start("worker", "--demo", "--log-level", "error", "--name", "quiet")
	conn := connect(t, url)
	proc.Await(t, "it is registered", func() bool { return value[int](t, conn, "select count(*) from scheduler.workers") == 1 })
	quiet.Signal(syscall.SIGTERM)
	if code := quiet.Exit(); code != exitOK || quiet.Stderr.String() != "" || w.Stdout.String() != "" {
		t.Errorf("exit %d, said %q; the other said %q on stdout", code, quiet.Stderr, w.Stdout)
	}
}

// A server waits for the requests under way, and a second signal cuts that short.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	id := c.ok("submit", "nobody.runs.this")
	s := c.start("serve", "--listen", "127.0.0.1:0")
	server := "http://" + s.Says(`msg=serve address=(\S+)`)
	waiting := httpDoor(t, server, "").start("tasks", "watch", id)
	waiting.Says("ready")
	s.Signal(syscall.SIGTERM)
	if code := s.Exit(); code != exitOK {
		t.Errorf("exit %d\n%s", code, s.Stderr)
	}
	waiting.Signal(os.Interrupt)
	waiting.Exit()
}

// Who waits sits out a restart of the server.
func TestWaitingSurvivesTheServer(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	address := "127.0.0.1:" + proc.FreePort(t)
	first := c.start("serve", "--listen", address)
	first.Says("msg=serve")
	id := c.ok("submit", "demo.echo", "5")
	waiting := httpDoor(t, "http://"+address, "").start("tasks", "watch", id)
	waiting.Says("ready")
	first.Signal(syscall.SIGTERM)
	first.Exit()
	c.start("serve", "--listen", address).Says("msg=serve")
	startWorker(t, url, "--demo")
	if code := waiting.Exit(); code != exitOK || !strings.Contains(waiting.Stdout.String(), "completed") {
		t.Errorf("exit %d\n%s%s", code, waiting.Stdout, waiting.Stderr)
	}
}

func TestListenOnATakenPort(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	taken := strings.TrimPrefix(serve(t, url, ""), "http://")
	if stderr := sqlDoor(t, url).fails(exitFailure, "serve", "--listen", taken); !strings.Contains(stderr, "another process listens there") {
		t.Error(stderr)
	}
}

// Delayed work is promoted by a server that runs no tasks, at the time that another process announced.
func TestServeDoesWhatIsDue(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	serve(t, url, "")
	c := sqlDoor(t, url)
	began := time.Now()
	id := c.ok("submit", "a", "--in", "300ms")
	proc.Await(t, "the task is ready", func() bool { return stateOf(t, c, id) == "ready" })
	if time.Since(began) < 300*time.Millisecond {
		t.Error("it was ready before its time")
	}
}
