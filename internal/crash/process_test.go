//go:build unix

package crash

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/proc"
)

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
	*proc.Process
	t      *testing.T
	orders orders
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
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), ordersVariable+"="+string(told))
	if _, err := cmd.StdinPipe(); err != nil { // the process ends when this is closed, as it is when the test's own process dies
		t.Fatal(err)
	}
	return &process{proc.Start(t, cmd), t, o}
}

// again starts the same worker anew, as a supervisor would.
func (p *process) again() *process {
	p.t.Helper()
	return start(p.t, p.orders)
}
