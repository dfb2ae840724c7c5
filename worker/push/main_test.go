package push

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// TestMain ends with a look for goroutines that the tests of this package have left.
func TestMain(m *testing.M) {
	code := pgtest.Run(m)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left after all tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}
