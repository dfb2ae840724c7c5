package self_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/pgscheduler/scheduler/internal/load/self"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// asChild tells this test binary to be a worker process.
const asChild = "SCHEDULER_LOAD_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) != "" {
		if err := self.Child(context.Background(), os.Stdin, os.Stdout, nil, slog.New(slog.DiscardHandler)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	pgtest.Tidy(m)
}

// child starts this test binary as a worker process.
func child(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), asChild+"=1")
	return cmd
}
