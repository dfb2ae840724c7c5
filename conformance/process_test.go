//go:build unix

package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs until it ends or the test does.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	stdout *output
	stderr *output
}

// start runs a program in a process group of its own, with something added to the environment. more are its descriptors
// from 3 on; they are closed here once it has them.
func start(t *testing.T, argv []string, env []string, stdin io.Reader, more ...*os.File) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{}), stdout: &output{}, stderr: &output{}}
	p.cmd.Env = append(environment(), env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = stdin, p.stdout, p.stderr, more
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.WaitDelay = 5 * time.Second
	started := make(chan error)
	go func() { // waited for by the cleanup
		runtime.LockOSThread() // the process dies with the thread
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // how it ended is in ProcessState
		}
	}()
	err := <-started
	for _, file := range more {
		_ = file.Close() // it is the child's
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("process %d, %s, said:\n%s%s", p.cmd.Process.Pid, strings.Join(argv, " "), p.stdout, p.stderr)
		}
	})
	return p
}

// environment is that of the test without what would lead a program elsewhere.
func environment() []string {
	var kept []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "SCHEDULER_") && !strings.HasPrefix(name, "PG") && name != "DATABASE_URL" && name != "QUEUES" && name != "TTL_MS" {
			kept = append(kept, pair)
		}
	}
	return kept
}

// kill ends the process and its group as the kernel does when memory is short.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	<-p.done
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// wait returns the exit code, -1 for a death by a signal.
func (p *process) wait() (int, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-limit.C:
		return 0, fmt.Errorf("process %d still runs after %s", p.cmd.Process.Pid, patience)
	}
}

// says waits for a line on stderr and returns the pattern's group.
func (p *process) says(pattern string) string {
	p.t.Helper()
	line := regexp.MustCompile(pattern)
	var found []string
	if err := eventually(func() error {
		if found = line.FindStringSubmatch(p.stderr.String()); found == nil {
			return fmt.Errorf("process %d never said %s", p.cmd.Process.Pid, pattern)
		}
		return nil
	}, p.ended); err != nil {
		p.t.Fatal(err)
	}
	return found[len(found)-1]
}

// eventually polls until there is no error, it is too late, or hopeless says so.
func eventually(look func() error, hopeless func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); ; <-tick.C {
		over := hopeless != nil && hopeless() || time.Now().After(limit)
		err := look()
		if err == nil || over {
			return err
		}
	}
}

// output keeps the last of what a process said.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() > 1<<20 {
		o.b.Next(1 << 19)
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
