package worker_test

import (
	"os"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// beChild makes this binary a long-lived child of a test; nil where there are none.
var beChild func(args string)

// TestMain ends with a look for goroutines that the tests of this package have left.
func TestMain(m *testing.M) {
	if args := os.Getenv("WORKER_TEST_CHILD"); args != "" {
		beChild(args)
		os.Exit(0)
	}
	pgtest.Tidy(m)
}
