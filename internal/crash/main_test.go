//go:build unix

package crash

import (
	"os"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// TestMain is also the start of the worker processes.
func TestMain(m *testing.M) {
	if orders := os.Getenv(ordersVariable); orders != "" {
		os.Exit(work(orders))
	}
	pgtest.Main(m)
}
