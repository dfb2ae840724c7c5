//go:build unix

package conformance

import (
	"os/exec"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/proc"
)

// start runs a program with something added to the environment.
func start(t *testing.T, argv []string, env ...string) *proc.Process {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = proc.Environment(env...)
	return proc.Start(t, cmd)
}

// eventually polls until there is no error, it is too late, or hopeless says so.
func eventually(look func() error, hopeless func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(proc.Patience); ; <-tick.C {
		over := hopeless != nil && hopeless() || time.Now().After(limit)
		err := look()
		if err == nil || over {
			return err
		}
	}
}
