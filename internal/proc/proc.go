package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Patience bounds every wait; nothing takes so long unless it never happens.
const Patience = 2 * time.Minute

// Process is a program that runs until it ends or the test does.
type Process struct {
	Cmd            *exec.Cmd // started
	Stdout, Stderr *Output   // what it wrote, unless Start was given other places for it
	t              testing.TB
	done           chan struct{} // closed when it has ended
}

// Start starts a command. Its files are the child's then: those of ExtraFiles are closed here.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: cmd, Stdout: &Output{}, Stderr: &Output{}, t: t, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.Stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.Stderr
	}
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = 5 * time.Second
	}
	ownGroup(cmd)
	started := make(chan error)
	go func() { // waited for by the cleanup
		runtime.LockOSThread() // on Linux the process dies with the thread
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in ProcessState
		}
	}()
	err := <-started
	for _, file := range cmd.ExtraFiles {
		_ = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s%s", p, p.Stdout, p.Stderr)
		}
	})
	return p
}

// String names it for people.
func (p *Process) String() string {
	return fmt.Sprintf("process %d, %s,", p.Cmd.Process.Pid, strings.Join(p.Cmd.Args, " "))
}

// Kill ends the process and its group as the kernel does when memory is short.
func (p *Process) Kill() {
	killGroup(p.Cmd.Process) // it may have ended
	<-p.done
}

// Signal sends the process a signal, unless it has ended.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// Ended reports whether the process has ended and all that it wrote is here.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Wait waits for the end and returns the exit code, -1 for a death by a signal.
func (p *Process) Wait() (int, error) {
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	select {
	case <-p.done:
		return p.Cmd.ProcessState.ExitCode(), nil
	case <-limit.C:
		return 0, fmt.Errorf("%s still runs after %s", p, Patience)
	}
}

// Exit is Wait for a test that ends when the process does not.
func (p *Process) Exit() int {
	p.t.Helper()
	code, err := p.Wait()
	if err != nil {
		p.t.Fatal(err)
	}
	return code
}

// Says waits until what the process wrote matches a pattern, and returns the last group's match.
func (p *Process) Says(pattern string) string {
	p.t.Helper()
	expression := regexp.MustCompile(pattern)
	var found []string
	Await(p.t, fmt.Sprintf("%s says %s", p, pattern), func() bool {
		ended := p.Ended() // then it says nothing more
		found = expression.FindStringSubmatch(p.Stdout.String() + p.Stderr.String())
		if found == nil && ended {
			p.t.Fatalf("%s ended and never said %s", p, pattern)
		}
		return found != nil
	})
	return found[len(found)-1]
}

// Await polls a condition until it holds.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(Patience); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited %s for: %s", Patience, what)
		}
	}
}

// Environment is that of the test without what would lead a program elsewhere.
func Environment(more ...string) []string {
	var kept []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		switch {
		case strings.HasPrefix(name, "SCHEDULER_") && !strings.HasPrefix(name, "SCHEDULER_PG_"): // that says only where PostgreSQL is
		case strings.HasPrefix(name, "PG"), strings.HasPrefix(name, "DATABASE_"), name == "QUEUES", name == "TTL_MS":
		default:
			kept = append(kept, pair)
		}
	}
	return append(kept, more...)
}
