//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// programs builds the demo and the scheduler once for all tests.
var programs = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "demo-test-"); err != nil {
		return "", err
	}
	for name, pkg := range map[string]string{"stdlib": ".", "scheduler": "../../cmd/scheduler"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg).CombinedOutput(); err != nil {
			return dir, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := programs(); dir != "" {
		_ = os.RemoveAll(dir) // a leftover in the temporary directory is no failure
	}
	os.Exit(code)
}

const (
	testPackages  = 60
	testFiles     = 4   // in each
	testFunctions = 500 // in each
)

// smallTree is enough work for a worker to be killed in the middle of it.
func smallTree(t *testing.T) string {
	t.Helper()
	var source strings.Builder
	source.WriteString("package p\n")
	for i := range testFunctions {
		fmt.Fprintf(&source, "\nfunc F%d(a, b int) int {\n\treturn a*%d + b\n}\n", i, i)
	}
	files := map[string]string{}
	for i := range testPackages {
		for j := range testFiles {
			files[fmt.Sprintf("p%02d/f%d.go", i, j)] = strings.ReplaceAll(source.String(), "func F", fmt.Sprintf("func F%d_", j))
		}
	}
	return write(t, files)
}

// demoCommand prepares a run of the real programs on a small tree.
func demoCommand(t *testing.T) *exec.Cmd {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(filepath.Join(dir, "stdlib"), "-scheduler", filepath.Join(dir, "scheduler"), "-tree", smallTree(t))
}

// run runs the demo and shows each line that it prints, until its end, or until that wants no more and closes the pipe.
func run(t *testing.T, cmd *exec.Cmd, more func(line string) bool) (said, stderr string, err error) {
	t.Helper()
	var all, problems strings.Builder
	cmd.Stderr = &problems
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(stdout); in.Scan(); {
		all.WriteString(in.Text() + "\n")
		if !more(in.Text()) {
			break
		}
	}
	if err := stdout.Close(); err != nil {
		t.Error(err)
	}
	err = cmd.Wait()
	return all.String(), problems.String(), err
}

func TestDemo(t *testing.T) {
	t.Parallel()
	said, stderr, err := run(t, demoCommand(t), func(line string) bool {
		if database := regexp.MustCompile(`psql '([^']+)'`).FindStringSubmatch(line); database != nil {
			slowDown(t, database[1])
		}
		return true
	})
	if err != nil {
		t.Fatalf("the demo failed: %v\n%s\n%s", err, said, stderr)
	}
	for what, pattern := range map[string]string{
		"the API's answer":         `\n  202 Accepted, task [0-9a-f-]{36}\n`,
		"the replay":               `\n  sent once more: 20\d .*, the same task`,
		"the split":                `\nsplit: one transaction submitted 60 tasks and completed their parent\n`,
		"progress as lines":        `\n +\d+%  \d+/60 packages   w\d p\d\d`,
		"the kill":                 `\nkill -9 \d+: worker (w1|w2) dies in the middle of [1-9]`,
		"the rescue":               `\n  p\d\d  attempt 1 on w\d was lost; attempt 2 started on w\d \d`,
		"the totals":               `\n +60 +240 +480,240 +120,000 +120,000\n`,
		"the rows of the query":    `\n +stdlib.split +completed +1 +1 +0 .*\n +stdlib.count +completed +60 +6[1-9] +[1-9] `,
		"the verdict, at the end":  `\nlost 0, counted twice 0\n$`,
		"the query over the tasks": `\n  from scheduler.tasks group by kind, state`,
	} {
		if !regexp.MustCompile(pattern).MatchString(said) {
			t.Errorf("%s is missing: %s\n%s", what, pattern, said)
		}
	}
	if strings.ContainsAny(said, "\r\x1b") {
		t.Errorf("control characters though the output is no terminal:\n%q", said)
	}
	if stderr != "" {
		t.Errorf("something on standard error:\n%s", stderr)
	}
	nothingLeft(t, said)
}

// slowDown has each count take most of a second, so that the worker is killed in the middle however quick the machine is, and though
// it pauses.
func slowDown(t *testing.T, database string) {
	t.Helper()
	db, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close(t.Context())
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for there := false; err == nil && !there; <-tick.C { // the demo makes the table next
		err = db.QueryRow(t.Context(), `select to_regclass('stdlib.counts') is not null`).Scan(&there)
	}
	if err == nil {
		_, err = db.Exec(t.Context(), `create function stdlib.slowly() returns trigger language plpgsql as 'begin perform pg_sleep(0.8); return new; end';
			create trigger slowly before insert on stdlib.counts for each row execute function stdlib.slowly()`)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestInterruptLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	cmd := demoCommand(t)
	said, stderr, err := run(t, cmd, func(line string) bool {
		if strings.HasPrefix(line, "split: ") {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
		return true
	})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("after SIGINT: %v, want exit status 130\n%s\n%s", err, said, stderr)
	}
	if want := errInterrupted.Error() + "\n"; stderr != want {
		t.Errorf("standard error %q, want %q", stderr, want)
	}
	nothingLeft(t, said)
}

// A reader that goes away, as head does, is an end like any other.
func TestClosedOutputLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	said, stderr, err := run(t, demoCommand(t), func(line string) bool { return !strings.Contains(line, "(pid ") })
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr, "broken pipe; workers, API and PostgreSQL are stopped") {
		t.Errorf("after its reader had gone: %v, want exit status 1\n%s\n%s", err, said, stderr)
	}
	nothingLeft(t, said)
}

// nothingLeft checks that the processes and the server's directory, which the demo named, are gone.
func nothingLeft(t *testing.T, said string) {
	t.Helper()
	socket := regexp.MustCompile(`host=([^&']+)`).FindStringSubmatch(said)
	if socket == nil {
		t.Fatalf("the demo does not say where its database is:\n%s", said)
	}
	if _, err := os.Stat(socket[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the server's directory %s is still there: %v", socket[1], err)
	}
	pids := regexp.MustCompile(`\(pid (\d+)\)`).FindAllStringSubmatch(said, -1)
	if len(pids) != 2 {
		t.Errorf("the demo names %d workers, want 2:\n%s", len(pids), said)
	}
	for _, match := range pids {
		pid, _ := strconv.Atoi(match[1]) // digits only
		deadline := time.Now().Add(5 * time.Second)
		for syscall.Kill(pid, 0) == nil {
			if time.Now().After(deadline) {
				t.Errorf("worker process %d is still there", pid)
				break
			}
			<-time.After(10 * time.Millisecond)
		}
	}
}

func TestErrorsAreNamed(t *testing.T) {
	t.Parallel()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	scheduler := filepath.Join(dir, "scheduler")
	broken := write(t, map[string]string{"a/a.go": "package a\nfunc {\n"})
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no such directory": {[]string{"-scheduler", scheduler, "-tree", "/nowhere"}, 1, "/nowhere"},
		"no Go files":       {[]string{"-scheduler", scheduler, "-tree", t.TempDir()}, 1, "there are no Go files below"},
		"no such program":   {[]string{"-scheduler", "/nowhere"}, 1, "start scheduler dev"},
		"a program that ends": {[]string{"-scheduler", "/bin/false", "-tree", broken}, 1,
			"scheduler dev ended unexpectedly: exit status 1"},
		"a file that does not parse": {[]string{"-scheduler", scheduler, "-tree", broken}, 1, "a.go:2:6"},
		"an unknown flag":            {[]string{"-wrong"}, 2, "-wrong"},
		"an argument":                {[]string{"wrong"}, 2, "wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := exec.Command(filepath.Join(dir, "stdlib"), test.args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != test.code || !strings.Contains(string(out), test.says) {
				t.Errorf("%v, want exit status %d and %q\n%s", err, test.code, test.says, out)
			}
		})
	}
}
