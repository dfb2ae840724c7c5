package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pgscheduler/scheduler/internal/privatepg"
)

// outside names the cluster to use instead of one of our own. It outlives the process.
const outside = "SCHEDULER_TEST_DATABASE_URL"

// private is the cluster of this process, nil until a test needs it.
var private *privatepg.Server

// cluster is the URL of a database to create others from; the first call may take a second.
var cluster = sync.OnceValues(func() (string, error) {
	if url := os.Getenv(outside); url != "" {
		return url, nil
	}
	server, err := privatepg.Start(context.Background(), privatepg.Config{Fast: true})
	if err != nil {
		return "", err
	}
	private = server
	return server.URL("postgres"), nil
})

// Main runs the tests of a package, stops its private cluster, does what else is to be done at the end, and exits:
// func TestMain(m *testing.M) { pgtest.Main(m) }.
func Main(m *testing.M, after ...func()) {
	code := run(m)
	for _, do := range after {
		do()
	}
	os.Exit(code)
}

// Tidy is Main for a package of which no goroutine may be left after all tests.
func Tidy(m *testing.M) {
	code := run(m)
	if code == 0 {
		if err := left(patience); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left after all tests:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// AwaitNoGoroutines fails the test when a goroutine is left that the options do not allow.
func AwaitNoGoroutines(t testing.TB, allowed ...goleak.Option) {
	t.Helper()
	if err := left(patience, allowed...); err != nil {
		t.Error(err)
	}
}

// patience is how long goroutines may take to end that were told to. A connection that is given up in the middle of a statement waits
// for the server to hang up, for 15 s at most.
const patience = 30 * time.Second

// left is an error if goroutines do not end. goleak itself waits for less than half a second.
func left(patience time.Duration, but ...goleak.Option) error {
	for limit := time.Now().Add(patience); ; {
		if err := goleak.Find(but...); err == nil || time.Now().After(limit) {
			return err
		}
	}
}

func run(m *testing.M) int {
	code := m.Run()
	if private == nil {
		return code
	}
	if err := private.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// Server starts a PostgreSQL for one test alone, to be killed, halted and restarted, and stops it when the
// test ends. It has an empty database scheduler. Settings are as in postgresql.conf and may be nil; by
// themselves they favour speed, yet keep each acknowledged commit when the server is killed.
func Server(t testing.TB, settings map[string]string) *privatepg.Server {
	t.Helper()
	server, err := privatepg.Start(t.Context(), privatepg.Config{Fast: true, Settings: settings})
	check(t, err)
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return server
}

// check ends a test that cannot have what it needs.
func check(t testing.TB, err error) {
	t.Helper()
	var missing *privatepg.NotFoundError
	switch {
	case err == nil:
	case errors.As(err, &missing) && os.Getenv("CI") != "true":
		t.Skip(missing.Error())
	default:
		t.Fatalf("pgtest: %v", err)
	}
}
