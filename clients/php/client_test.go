//go:build unix

package php

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

func TestMain(m *testing.M) { pgtest.Main(m, proc.Forget) }

// programs are what these tests need.
var programs = []string{"php", "php pdo_pgsql", "php pcntl"}

// TestScripts runs every test of tests/, each with a server and a database of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	proc.Need(t, programs...)
	for _, line := range []string{"client_test.php", "database_test.php", "worker_test.php http", "worker_test.php child", "together_test.php",
		"resque_test.php", "kill_test.php", "hostile_test.php", "lease_test.php", "delivery.php"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(line)
			cmd := exec.CommandContext(t.Context(), "php", append([]string{filepath.Join("tests", words[0])}, words[1:]...)...)
			cmd.Env = append(newServer(t), "TMPDIR="+t.TempDir())
			run(t, cmd)
		})
	}
}

// TestVersion: nothing in the package needs a newer PHP than composer.json asks for.
func TestVersion(t *testing.T) {
	t.Parallel()
	proc.Need(t, programs...)
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

// newServer starts a scheduler with a database of its own, and returns the environment of programs that use it.
func newServer(t *testing.T) []string {
	t.Helper()
	const token = "a-token-of-the-tests-of-php"
	database := pgtest.DB(t)
	cmd := exec.Command(proc.Scheduler(t), "serve", "--listen", "127.0.0.1:0")
	cmd.Env = proc.Environment("SCHEDULER_DATABASE_URL="+database, "SCHEDULER_TOKEN="+token)
	url := "http://" + proc.Start(t, cmd).Says(`msg=serve address=(\S+)`)
	return proc.Environment("SCHEDULER_URL="+url, "SCHEDULER_TOKEN="+token, "TEST_SCHEDULER="+cmd.Path, "TEST_DATABASE_URL="+database,
		"TEST_DSN="+dsn(t, database))
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
