// Command withpg runs a command with a PostgreSQL for tests: go run ./internal/pgtest/withpg -- go test ./...
//
// It starts one private cluster, exports its address as SCHEDULER_TEST_DATABASE_URL, passes SIGINT and SIGTERM
// on to the command, stops the cluster when the command has ended, and exits with its code. When the variable
// is set already, it only runs the command. When there is no PostgreSQL on the machine, it says so and runs the
// command without (its tests are then skipped); with CI=true it fails.
//
// withpg -install runs no command. It sees to it that there is a PostgreSQL: as root on Debian or Ubuntu it
// installs one.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/pgscheduler/scheduler/internal/privatepg"
)

const variable = "SCHEDULER_TEST_DATABASE_URL"

func main() {
	args := os.Args[1:]
	if len(args) == 1 && args[0] == "-install" {
		os.Exit(install())
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: withpg -- COMMAND [ARGUMENT ...]\n       withpg -install")
		os.Exit(2)
	}
	os.Exit(withCluster(args))
}

// install looks for PostgreSQL, installs it where that can be done, and returns the exit code.
func install() int {
	if os.Getenv(variable) != "" {
		return 0 // tests use another machine's, perhaps
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	_, err := privatepg.Major(ctx, privatepg.Config{InstallMissing: true, Log: os.Stderr})
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "withpg:", err)
	if canSkip(err) {
		return 0
	}
	return 1
}

// canSkip reports whether tests may be skipped because of err.
func canSkip(err error) bool {
	var missing *privatepg.NotFoundError
	return errors.As(err, &missing) && os.Getenv("CI") != "true"
}

// withCluster runs the command between the start and the stop of a cluster, and returns the exit code.
func withCluster(args []string) (code int) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if os.Getenv(variable) != "" {
		return run(args, os.Environ(), signals)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	server, err := privatepg.Start(ctx, privatepg.Config{Fast: true})
	cancel()
	if canSkip(err) {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		return run(args, os.Environ(), signals)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		return 1
	}
	defer func() {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "withpg:", err)
			code = max(code, 1)
		}
	}()
	return run(args, append(os.Environ(), variable+"="+server.URL("postgres")), signals)
}

// run runs the command and passes signals on until it has ended.
func run(args, env []string, signals <-chan os.Signal) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "withpg:", err)
		return 127
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the command, which this function waits for
	for {
		select {
		case s := <-signals:
			cmd.Process.Signal(s) // it may just have ended
		case <-ended:
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return 128 + int(status.Signal()) // as a shell says it
			}
			return cmd.ProcessState.ExitCode()
		}
	}
}
