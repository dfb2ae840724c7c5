package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// dev is a "scheduler dev" that runs.
type dev struct {
	*proc.Process
	t     *testing.T
	ready devReady
	c     cli // through its API
}

// startDev starts dev and waits until it says that it is ready.
func startDev(t *testing.T, c cli, args ...string) dev {
	t.Helper()
	return awaitDev(t, c.start(append([]string{"dev", "-o", "json", "--listen", "127.0.0.1:0"}, args...)...))
}

func awaitDev(t *testing.T, p *proc.Process) dev {
	t.Helper()
	ready := unmarshal[devReady](t, p.Says(`(?m)^(\{.*\})$`))
	if ready.PID != p.Cmd.Process.Pid {
		t.Errorf("pid %d, want %d", ready.PID, p.Cmd.Process.Pid)
	}
	return dev{p, t, ready, httpDoor(t, ready.APIURL, "")}
}

// socketDir is where its PostgreSQL listens.
func (d dev) socketDir() string {
	d.t.Helper()
	parsed, err := url.Parse(d.ready.DatabaseURL)
	if err != nil {
		d.t.Fatal(err)
	}
	return parsed.Query().Get("host")
}

// descendants are the processes that a process started, and those that they did.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("they are found on Linux only")
	}
	return proc.Descendants(pid)
}

// stopClean interrupts dev and checks that nothing of it is left.
func (d dev) stopClean(paths ...string) {
	d.t.Helper()
	children := descendants(d.t, d.ready.PID)
	if len(children) < 3 {
		d.t.Errorf("dev has only the processes %v below it", children)
	}
	d.Signal(os.Interrupt)
	if code := d.Exit(); code != exitOK {
		d.t.Errorf("exit %d\n%s", code, d.Stderr)
	}
	for _, pid := range children {
		proc.Await(d.t, fmt.Sprintf("process %d is gone", pid), func() bool { return gone(pid) })
	}
	for _, path := range append(paths, d.socketDir()) {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			d.t.Errorf("%s is left: %v", path, err)
		}
	}
}

func TestDevEphemeral(t *testing.T) {
	t.Parallel()
	d := startDev(t, cli{t: t}, "--ephemeral")
	if d.ready.DataDir != nil || d.ready.Postgres == "" || strings.Join(d.ready.Kinds, " ") != "demo.echo demo.sleep" {
		t.Errorf("%+v", d.ready)
	}
	answer, err := http.Get(d.ready.APIURL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK || !json.Valid(body) {
		t.Errorf("%s %s", answer.Status, body)
	}
	if got := d.c.ok("submit", "demo.echo", `{"a":1}`, "--wait=1m"); got != `{"a":1}` {
		t.Errorf("through the API: %q", got)
	}
	if got := sqlDoor(t, d.ready.DatabaseURL).ok("submit", "demo.sleep", `{"seconds":0.1}`, "--wait=1m"); got != `{"slept":0.1}` {
		t.Errorf("through the database: %q", got)
	}
	d.stopClean(filepath.Dir(d.socketDir())) // the cluster's directory
}

// Tasks that run when Ctrl-C comes are handed back, and are there for the next run.
func TestDevKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "data")
	d := startDev(t, cli{t: t}, "--data-dir", dir, "--drain-timeout", "0")
	if d.ready.DataDir == nil || *d.ready.DataDir != dir {
		t.Errorf("%+v", d.ready)
	}
	long := d.c.ok("submit", "demo.sleep", `{"seconds":1000}`)
	proc.Await(t, "the task runs", func() bool { return stateOf(t, d.c, long) == "running" })
	d.stopClean()
	if _, err := os.Stat(filepath.Join(dir, "data", "postmaster.pid")); !os.IsNotExist(err) {
		t.Errorf("postmaster.pid: %v", err)
	}

	d = startDev(t, cli{t: t}, "--data-dir", dir, "--no-worker")
	if state := stateOf(t, d.c, long); state != "ready" || len(d.ready.Kinds) != 0 {
		t.Errorf("the task is %s, %+v", state, d.ready)
	}
	d.stopClean()
}

// The second dev on a directory uses the first one's PostgreSQL, and leaves it running.
func TestDevTwiceOnOneDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicDir(t), "data")
	first := startDev(t, cli{t: t}, "--data-dir", dir)
	second := awaitDev(t, (cli{t: t}).start("dev", "-o", "json", "--data-dir", dir, "--listen", strings.TrimPrefix(first.ready.APIURL, "http://"), "--no-worker"))
	if second.ready.DatabaseURL != first.ready.DatabaseURL || second.ready.APIURL == first.ready.APIURL {
		t.Errorf("first %+v, second %+v", first.ready, second.ready)
	}
	second.Says(`port \d+ is taken, using \d+`)
	second.Says(`already runs in`)
	if got := second.c.ok("submit", "demo.echo", "1", "--wait=1m"); got != "1" {
		t.Errorf("%q", got)
	}
	second.Signal(os.Interrupt)
	if code := second.Exit(); code != exitOK {
		t.Errorf("second: exit %d\n%s", code, second.Stderr)
	}
	first.c.ok("submit", "demo.echo", "--wait=1m")
	first.stopClean()
}

func TestDevUsesTheDatabaseThatIsGiven(t *testing.T) {
	t.Parallel()
	given := pgtest.EmptyDB(t)
	d := startDev(t, sqlDoor(t, given))
	if d.ready.DatabaseURL != given || d.ready.Postgres != "" || d.ready.DataDir != nil {
		t.Errorf("%+v", d.ready)
	}
	if children := descendants(t, d.ready.PID); len(children) != 0 {
		t.Errorf("it started %v", children)
	}
	d.c.ok("submit", "demo.echo", "--wait=1m")
	d.Signal(syscall.SIGTERM)
	if code := d.Exit(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	sqlDoor(t, given).ok("tasks", "list")
}

func TestDevRunsCommandsAndSaysHowToReachIt(t *testing.T) {
	t.Parallel()
	path := script(t, `read -r p; echo "{\"op\":\"result\",\"result\":[$p]}" >&3`)
	p := (cli{t: t}).start("dev", "--ephemeral", "--listen", "127.0.0.1:0", "--exec", "mine="+path, "--queue", "q", "--concurrency", "2")
	api := p.Says(`  api         (http://\S+)/v1  \(no token: this machine only\)`)
	for _, want := range []string{`  postgres    \d+\.\d+  private \(Unix socket\); data is dropped at the end`, `  migrations  \d+ applied in`, `  worker      2 slots, kinds: mine`,
		`  psql        psql 'postgres:///scheduler\?host=/`, `  try         scheduler submit mine`, `Press Ctrl-C to stop.`} {
		p.Says(want)
	}
	if got := httpDoor(t, api, "").ok("submit", "mine", "7", "--queue", "q", "--wait=1m"); got != "[7]" {
		t.Errorf("%q", got)
	}
	psql := p.Says(`psql '(postgres:[^']+)'`)
	if conn := connect(t, psql); value[int](t, conn, "select count(*) from scheduler.tasks") != 1 {
		t.Error("the URL for psql leads elsewhere")
	}
}

func TestDevWithAToken(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.EmptyDB(t))
	c.env = append(c.env, "SCHEDULER_TOKEN=secret")
	d := startDev(t, c)
	d.c.fails(exitAuth, "tasks", "list")
	httpDoor(t, d.ready.APIURL, "secret").ok("tasks", "list")
}

// publicDir is a directory that the account of a private PostgreSQL can enter; t.TempDir is closed to it.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scheduler-dev-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Root must not be needed. When the tests run as root, another user has to do.
func TestDevAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("all other tests of dev do that already")
	}
	other, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.Atoi(other.Uid) // numbers on Unix
	gid, _ := strconv.Atoi(other.Gid)
	home := publicDir(t)
	if err := os.Chown(home, uid, gid); err != nil {
		t.Fatal(err)
	}
	asOther := func(env ...string) *exec.Cmd {
		cmd := exec.Command(binary(t), "dev", "-o", "json", "--listen", "127.0.0.1:0")
		cmd.Dir, cmd.Env = home, append(env, "PATH="+os.Getenv("PATH"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return cmd
	}
	homeless := asOther()
	said, _ := homeless.CombinedOutput() // its exit code says it
	if homeless.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(said), "--data-dir") || !strings.Contains(string(said), "--ephemeral") {
		t.Errorf("without HOME: %s\n%s", homeless.ProcessState, said)
	}
	cmd := asOther("HOME=" + home)
	d := awaitDev(t, (cli{t: t}).startCommand(cmd))
	if d.ready.DataDir == nil || !strings.HasPrefix(*d.ready.DataDir, filepath.Join(home, ".local", "share", "scheduler", "dev")+"/") {
		t.Errorf("%+v", d.ready)
	}
	d.c.ok("submit", "demo.echo", "--wait=1m")
	d.stopClean()
}

// A start that is interrupted is undone, here in the middle of an initdb that would never end.
func TestDevInterruptedWhileItStarts(t *testing.T) {
	t.Parallel()
	tmp, programs := publicDir(t), publicDir(t)
	for name, text := range map[string]string{"postgres": "echo 'postgres (PostgreSQL) 15.1'", "initdb": `echo half >"$2/half"; exec sleep 1000`} {
		proc.Script(t, filepath.Join(programs, name), text)
	}
	c := cli{t: t, env: []string{"TMPDIR=" + tmp, "SCHEDULER_PG_BINDIR=" + programs}}
	p := c.start("dev", "--ephemeral", "--listen", "127.0.0.1:0")
	cluster := p.Says(`creating a PostgreSQL \d+ cluster in (\S+)`)
	proc.Await(t, "initdb has begun", func() bool { _, err := os.Stat(filepath.Join(cluster, "data.new", "half")); return err == nil })
	p.Signal(os.Interrupt)
	if code := p.Exit(); code != exitInterrupted {
		t.Errorf("exit %d\n%s", code, p.Stderr)
	}
	if _, err := os.Lstat(cluster); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", cluster, err)
	}
}

func TestDevThatCannotStart(t *testing.T) {
	t.Parallel()
	c := cli{t: t, env: []string{"SCHEDULER_PG_BINDIR=" + t.TempDir()}}
	c.fails(exitFailure, "dev", "--ephemeral")
	c.fails(exitFailure, "dev")
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	sqlDoor(t, pgtest.DB(t)).fails(exitFailure, "dev", "--listen", "192.0.2.1:80", "--token", "t")
}
