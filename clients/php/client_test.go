//go:build unix

package php

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// binary is the scheduler, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scheduler-php-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "scheduler")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/scheduler").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return pgtest.Run(m)
}

// TestScripts runs every test of tests/, each with a server and a database of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	needPHP(t)
	for _, line := range []string{"client_test.php", "database_test.php", "worker_test.php http", "worker_test.php child",
		"resque_test.php", "kill_test.php", "hostile_test.php"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(line)
			cmd := exec.CommandContext(t.Context(), "php", append([]string{filepath.Join("tests", words[0])}, words[1:]...)...)
			cmd.Env = append(newServer(t).env, "TMPDIR="+t.TempDir())
			run(t, cmd)
		})
	}
}

// TestVersion: nothing in the package needs a newer PHP than composer.json asks for.
func TestVersion(t *testing.T) {
	t.Parallel()
	needPHP(t)
	run(t, exec.CommandContext(t.Context(), "php", filepath.Join("tests", "version_test.php")))
}

// run runs a script to its end, and ends with it whatever it started.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return out.String()
}

// needPHP skips the test where there is no PHP with the driver of PostgreSQL; with CI=true that is a failure.
func needPHP(t *testing.T) {
	t.Helper()
	out, err := exec.Command("php", "-m").CombinedOutput()
	if err == nil && regexp.MustCompile(`(?m)^pdo_pgsql$`).Match(out) && regexp.MustCompile(`(?m)^pcntl$`).Match(out) {
		return
	}
	const message = "there is no php with pdo_pgsql and pcntl; on Debian: apt-get install php-cli php-pgsql"
	if os.Getenv("CI") == "true" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// server is a scheduler with a database of its own.
type server struct {
	url string
	env []string // for programs that use it
}

func newServer(t *testing.T) server {
	t.Helper()
	const token = "a-token-of-the-tests-of-php"
	database := pgtest.DB(t)
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0")
	cmd.Env = append(environment(), "SCHEDULER_DATABASE_URL="+database, "SCHEDULER_TOKEN="+token)
	said := &output{}
	cmd.Stderr, cmd.WaitDelay = said, 5*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // nothing of it is wanted any more
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the server said:\n%s", said)
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	address := regexp.MustCompile(`msg=serve address=(\S+)`)
	for limit := time.Now().Add(time.Minute); ; <-tick.C {
		if found := address.FindStringSubmatch(said.String()); found != nil {
			url := "http://" + found[1]
			return server{url: url, env: append(environment(), "SCHEDULER_URL="+url, "SCHEDULER_TOKEN="+token, "TEST_SCHEDULER="+binary,
				"TEST_DATABASE_URL="+database, "TEST_DSN="+dsn(t, database))}
		}
		if time.Now().After(limit) {
			t.Fatal("the server does not come up")
		}
	}
}

// dsn is how PDO calls a database.
func dsn(t *testing.T, url string) string {
	t.Helper()
	c, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("pgsql:host=%s;port=%d;dbname=%s;user=%s", c.Host, c.Port, c.Database, c.User)
	if c.Password != "" {
		name += ";password=" + c.Password
	}
	return name
}

// environment is that of the test without what would lead a program elsewhere.
func environment() []string {
	var kept []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "SCHEDULER_") && !strings.HasPrefix(name, "PG") && name != "DATABASE_URL" && name != "QUEUES" {
			kept = append(kept, pair)
		}
	}
	return kept
}

// output keeps what a process says.
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
