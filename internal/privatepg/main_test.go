//go:build linux || darwin

package privatepg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PRIVATEPG_TEST_PARENT"); dir != "" {
		beParent(dir)
	}
	code := m.Run()
	for limit := time.Now().Add(30 * time.Second); code == 0; { // what was told to end may take a moment
		err := goleak.Find()
		if err == nil {
			break
		}
		if time.Now().After(limit) {
			fmt.Fprintln(os.Stderr, "goroutines are left after all tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// start is Start for a test: without PostgreSQL on the machine the test is skipped, or fails in CI.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	server, err := Start(t.Context(), cfg)
	var missing *NotFoundError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return server
}

// openDir is a directory that every account can get to, unlike t.TempDir.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "privatepg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// query runs a statement on the database scheduler and returns its one value.
func query(t *testing.T, s *Server, sql string) (value string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("scheduler"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// execute runs a statement on the database scheduler.
func execute(t *testing.T, s *Server, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("scheduler"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if err := waitUntil(30*time.Second, func() (bool, error) { return condition(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// pids are the processes of a running server, the postmaster first.
func pids(t *testing.T, s *Server) []int {
	t.Helper()
	pid := s.process.cmd.Process.Pid
	family, err := children(pid)
	if err != nil {
		t.Fatal(err)
	}
	if len(family) == 0 {
		t.Fatal("the server has no processes")
	}
	return append([]int{pid}, family...)
}

// mustBeGone fails the test if one of the processes lives. Those that were not our own children may still
// wait for somebody to notice their end; they are not alive.
func mustBeGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if lives(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

// leftovers are the entries of dir that begin like ours.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "s*")) // scheduler-pg-…, sch-…
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
