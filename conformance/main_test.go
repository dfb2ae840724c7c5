//go:build unix

package conformance

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// roleVariable makes the test's own program the conformance worker in Go, which is the reference.
const roleVariable = "CONFORMANCE_REFERENCE"

// commandVariable names the command of a conformance worker that is not here.
const commandVariable = "CONFORMANCE_CMD"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(reference())
	}
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", "8") // these tests wait more than they work
	}
	pgtest.Main(m, proc.Forget)
}

// client is a conformance worker.
type client struct {
	name   string
	argv   []string // in words
	env    []string
	leases bool // only by leases; children are as those of the same client without env
}

// clients are the workers to test: those of the repository, or the one of CONFORMANCE_CMD.
func clients(t *testing.T) []client {
	t.Helper()
	if argv := strings.Fields(os.Getenv(commandVariable)); len(argv) > 0 {
		if _, err := exec.LookPath(argv[0]); err != nil {
			t.Fatal(err)
		}
		return []client{{name: "yours", argv: argv}}
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
		{name: "node", argv: []string{"node", filepath.Join(root, "node/tests/conformance_worker.js")}},
		{name: "node isolated", argv: []string{"node", filepath.Join(root, "node/tests/conformance_worker.js")}, env: []string{"ISOLATE=1"}, leases: true},
		{name: "php", argv: []string{"php", filepath.Join(root, "php/tests/conformance_worker.php")}},
		{name: "python", argv: []string{"python3", filepath.Join(root, "python/tests/conformance_worker.py")}},
		{name: "python isolated", argv: []string{"python3", filepath.Join(root, "python/tests/conformance_worker.py")}, env: []string{"ISOLATE=1"}, leases: true},
	}
}
