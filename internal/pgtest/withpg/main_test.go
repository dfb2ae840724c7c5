//go:build linux || darwin

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/privatepg"
)

// The test's own program is withpg as well as the command that it runs.
func TestMain(m *testing.M) {
	switch os.Getenv("WITHPG_TEST") {
	case "withpg":
		os.Setenv("WITHPG_TEST", "command")
		main()
	case "command":
		command()
	}
	os.Exit(m.Run())
}

// command says what it got, and exits with 3, or with 4 when it is asked to wait and a signal comes.
func command() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	url := os.Getenv(variable)
	if conn, err := pgx.Connect(context.Background(), url); err == nil {
		conn.Close(context.Background())
	} else if url != "elsewhere" {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(url)
	if len(os.Args) > 1 && os.Args[1] == "wait" {
		<-signals
		os.Exit(4)
	}
	os.Exit(3)
}

// withpg prepares a run of withpg.
func withpg(t *testing.T, url string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "WITHPG_TEST=withpg", variable+"="+url)
	cmd.Stderr = os.Stderr
	return cmd
}

// needPostgreSQL skips a test on a machine without it.
func needPostgreSQL(t *testing.T) {
	t.Helper()
	_, err := privatepg.Major(t.Context(), privatepg.Config{})
	var missing *privatepg.NotFoundError
	if errors.As(err, &missing) && os.Getenv("CI") != "true" {
		t.Skip(missing)
	}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

// mustBeStopped checks that nothing is left of the cluster with this URL.
func mustBeStopped(t *testing.T, url string) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil || !filepath.IsAbs(config.Host) {
		t.Fatalf("the command got %q, %v", url, err)
	}
	if _, err := os.Stat(config.Host); err == nil {
		t.Errorf("%s is still there", config.Host)
	}
}

func TestCommandGetsAClusterAndItsCodeIsReturned(t *testing.T) {
	t.Parallel()
	needPostgreSQL(t)
	out, err := withpg(t, "", "--", os.Args[0]).Output()
	if code := exitCode(t, err); code != 3 {
		t.Errorf("exit code %d, want the command's 3", code)
	}
	mustBeStopped(t, strings.TrimSpace(string(out)))
}

func TestSignalReachesTheCommandAndTheClusterIsStopped(t *testing.T) {
	t.Parallel()
	needPostgreSQL(t)
	cmd := withpg(t, "", "--", os.Args[0], "wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if code := exitCode(t, cmd.Wait()); code != 4 {
		t.Errorf("exit code %d, want the command's 4", code)
	}
	mustBeStopped(t, strings.TrimSpace(url))
}

func TestClusterOfTheCallersIsPassedOn(t *testing.T) {
	t.Parallel()
	out, err := withpg(t, "elsewhere", "--", os.Args[0]).Output()
	if code := exitCode(t, err); code != 3 || string(out) != "elsewhere\n" {
		t.Errorf("exit code %d, output %q", code, out)
	}
}

func TestCommandThatDoesNotStartOrDies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		code int
	}{
		{[]string{"--", "/no/such/program"}, 127},
		{[]string{"--", "sh", "-c", "kill -KILL $$"}, 128 + 9},
		{[]string{"sh", "-c", "exit 5"}, 5},
		{[]string{"--"}, 2},
	} {
		if code := exitCode(t, withpg(t, "elsewhere", test.args...).Run()); code != test.code {
			t.Errorf("%q: exit code %d, want %d", test.args, code, test.code)
		}
	}
}
