package proc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var (
	building sync.Once
	built    string // directory of the program; "": nobody asked for it yet
	failed   error
)

// Scheduler returns the path of the scheduler's program. The first call builds it, with the flags of go build.
func Scheduler(t testing.TB, flags ...string) string {
	t.Helper()
	if building.Do(func() { failed = build(flags) }); failed != nil {
		t.Fatal(failed)
	}
	return filepath.Join(built, "scheduler")
}

func build(flags []string) (err error) {
	if built, err = os.MkdirTemp("", "scheduler-built-"); err != nil {
		return err
	}
	if err := os.Chmod(built, 0o755); err != nil { // tests run it as another user too
		return err
	}
	args := append(append([]string{"build"}, flags...), "-o", filepath.Join(built, "scheduler"), "github.com/pgscheduler/scheduler/cmd/scheduler")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Forget removes the program. A package whose tests ask for it calls Forget at the end of its TestMain.
func Forget() {
	if built != "" {
		_ = os.RemoveAll(built) // a leftover in the temporary directory is no failure
	}
}
