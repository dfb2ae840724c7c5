//go:build unix

package conformance

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// roleVariable makes the test's own program the conformance worker in Go, which is the reference.
const roleVariable = "CONFORMANCE_REFERENCE"

// commandVariable names the command of a conformance worker that is not here.
const commandVariable = "CONFORMANCE_CMD"

// binary is the scheduler, built once.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(reference())
	}
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", "8") // these tests wait more than they work
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scheduler-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "scheduler")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/scheduler").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return pgtest.Run(m)
}

// client is a conformance worker.
type client struct {
	name, pack string   // pack: of Debian, that has the interpreter
	argv       []string // in words
	env        []string
	leases     bool // only by leases; children are as those of the same client without env
}

// clients are the workers to test: those of the repository, or the one of CONFORMANCE_CMD.
func clients(t *testing.T) []client {
	t.Helper()
	if command := os.Getenv(commandVariable); command != "" {
		return []client{{name: "yours", argv: strings.Fields(command)}}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../clients")
	if err != nil {
		t.Fatal(err)
	}
	return []client{
		{name: "go", argv: []string{self}, env: []string{roleVariable + "=1"}},
		{name: "node", pack: "nodejs", argv: []string{"node", filepath.Join(root, "node/tests/conformance_worker.js")}},
		{name: "node isolated", pack: "nodejs", argv: []string{"node", filepath.Join(root, "node/tests/conformance_worker.js")}, env: []string{"ISOLATE=1"}, leases: true},
		{name: "php", pack: "php-cli", argv: []string{"php", filepath.Join(root, "php/tests/conformance_worker.php")}},
		{name: "python", pack: "python3", argv: []string{"python3", filepath.Join(root, "python/tests/conformance_worker.py")}},
		{name: "python isolated", pack: "python3", argv: []string{"python3", filepath.Join(root, "python/tests/conformance_worker.py")}, env: []string{"ISOLATE=1"}, leases: true},
	}
}

// need skips the test where the client's interpreter is missing; with CI=true that is a failure.
func (c client) need(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(c.argv[0]); err != nil {
		message := fmt.Sprintf("there is no %s; on Debian: apt-get install %s", c.argv[0], c.pack)
		if os.Getenv("CI") == "true" || c.pack == "" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	if c.pack == "" {
		return
	}
	if _, err := os.Stat(c.argv[1]); err != nil {
		t.Skip(err)
	}
}
