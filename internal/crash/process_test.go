//go:build unix

package crash

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests; nothing takes so long unless it never happens.
const patience = 90 * time.Second

// ordersVariable holds what a worker process is to do.
const ordersVariable = "CRASH_TEST_ORDERS"

// orders are what a worker process is to do; zero fields are the worker's defaults.
type orders struct {
	URL         string
	Name        string
	Queue       string
	Concurrency int
	Heartbeat   time.Duration
	TTL         time.Duration
	Drain       time.Duration
	MaxCrashes  int
	Exec        []string // command of kind exec
	Cmd         []string // command of two long-lived children
}

// process is a worker in a process of its own.
type process struct {
	t      *testing.T
	orders orders
	cmd    *exec.Cmd
	life   io.Closer     // the process ends when this is closed, as it is when the test's own process dies
	done   chan struct{} // closed when the process has ended
	said   *output
}

// start runs a worker process until the test ends or ends it.
func start(t *testing.T, o orders) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	told, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, orders: o, cmd: exec.Command(program), done: make(chan struct{}), said: &output{}}
	p.cmd.Env = append(os.Environ(), ordersVariable+"="+string(told))
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.life = stdin
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // waited for by the cleanup
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("worker %s (process %d) said:\n%s", o.Name, p.cmd.Process.Pid, p.said)
		}
	})
	return p
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
func (p *process) wait() int {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-limit.C:
		p.t.Fatalf("worker %s still runs after %s", p.orders.Name, patience)
	}
	_ = p.life.Close()
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the process as the kernel does when memory is short.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
	_ = p.life.Close()
}

// again starts the same worker anew, as a supervisor would.
func (p *process) again() *process {
	p.t.Helper()
	return start(p.t, p.orders)
}

// await polls a condition until it holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited %s for: %s", patience, what)
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
