//go:build unix

package crash

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// TestMain is also the start of the worker processes.
func TestMain(m *testing.M) {
	if orders := os.Getenv(ordersVariable); orders != "" {
		os.Exit(work(orders))
	}
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = flag.Set("test.parallel", "4") // these tests wait more than they work
	}
	pgtest.Main(m)
}
