//go:build linux || darwin

package privatepg

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a running postgres, a direct child of ours.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read after done
}

// run starts cmd. Its goroutine ends when the program has ended; stop and kill wait for that.
func run(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal comes when the thread that started the child ends. This one ends with
		// the goroutine, because it is never unlocked, or with the process.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, <-started
}

// ended reports whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends the server as PostgreSQL's fast shutdown does, and less and less politely when it does not end.
func (p *process) stop() error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{
		{syscall.SIGINT, 10 * time.Second}, // fast: roll back, checkpoint
		{syscall.SIGQUIT, 5 * time.Second}, // immediate: leave it to recovery
	} {
		if p.ended() {
			return nil
		}
		if err := p.cmd.Process.Signal(step.signal); err != nil && !p.ended() {
			return err
		}
		select {
		case <-p.done:
			return nil
		case <-time.After(step.wait):
		}
	}
	return p.kill()
}

// kill ends the server and all its processes as a crash would. Each of them leads a process group of its
// own, so they are found by their parent, which stands still meanwhile and makes no new ones.
func (p *process) kill() error {
	if p.ended() {
		return nil
	}
	pid := p.cmd.Process.Pid
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil && !p.ended() {
		return err
	}
	killErr := waitUntil(10*time.Second, func() (bool, error) {
		family, err := children(pid)
		for _, child := range family {
			syscall.Kill(child, syscall.SIGKILL) // it may have ended
		}
		return len(family) == 0, err
	})
	if err := p.cmd.Process.Kill(); err != nil && !p.ended() {
		return err
	}
	<-p.done
	return killErr
}

// waitUntil asks check every few milliseconds until it says yes, fails, or the limit is over.
func waitUntil(limit time.Duration, check func() (bool, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); ; <-tick.C {
		if ok, err := check(); ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not done after %v", limit)
		}
	}
}
