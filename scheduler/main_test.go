package scheduler_test

import (
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// TestMain ends with a look for goroutines that the tests of this package have left.
func TestMain(m *testing.M) {
	pgtest.Tidy(m)
}
