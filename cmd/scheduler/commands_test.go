package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// childScript serves a kind in sh: it answers with its process id, or does what the payload says.
const childScript = `
echo "{\"op\":\"ready\",\"v\":1,\"kinds\":[\"$1\"],\"language\":\"sh\"}" >&3
while read -r line; do
	id=$(echo "$line" | sed 's/.*"task":{"id":"\([^"]*\)".*/\1/')
	case $line in
	'{"op":"drain"}') exit 0;;
	*'"payload":"die"'*) echo "cannot go on" >&2; exit 3;;
	'{"op":"task"'*)
		echo "env: ${SCHEDULER_DATABASE_URL:-no url} fd $SCHEDULER_FD"
		echo "{\"op\":\"result\",\"id\":\"$id\",\"result\":$$}" >&3;;
	esac
done
`

func TestCmdServesByLongLivedProcesses(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	path := script(t, childScript)
	p := startWorker(t, url, "--cmd", path+" one", "--cmd", path+" 'two'", "--procs", "2", "--exec", "three=true", "--demo", "--concurrency", "3", "--name", "mixed")
	c := sqlDoor(t, url)
	workers := c.ok("workers", "list", "-o", "json")
	for _, want := range []string{`"slots":7`, `"language":"sh, go"`, `"kinds":["demo.echo","demo.sleep","one","three","two"]`} {
		if !strings.Contains(workers, want) {
			t.Errorf("%s lacks %s", workers, want)
		}
	}
	pids := map[string]bool{}
	for range 5 {
		for _, kind := range []string{"one", "two"} {
			pids[c.ok("submit", kind, "--wait=1m")] = true
		}
	}
	if len(pids) < 2 || len(pids) > 4 {
		t.Errorf("%d processes", len(pids))
	}
	if got := c.ok("submit", "demo.echo", "7", "--wait=1m"); got != "7" {
		t.Errorf("%q", got)
	}
	c.ok("submit", "three", "--wait=1m")
	id := c.ok("submit", "one", `"die"`, "--max-attempts", "1")
	c.run("tasks", "watch", id)
	task := unmarshal[taskOf](t, c.ok("tasks", "get", id, "-o", "json"))
	if task.Error == nil || task.Error.Code != "worker_crashed" || task.Error.Message != "the child process ended: exit status 3: cannot go on" {
		t.Errorf("%+v", task.Error)
	}
	if logs := c.ok("tasks", "logs", id); !strings.Contains(logs, "stderr  cannot go on") {
		t.Errorf("%s", logs)
	}
	p.Says(`child ended, it is started again.*err="exit status 3: cannot go on"`)
	p.Signal(syscall.SIGTERM)
	if code := p.Exit(); code != exitOK {
		t.Errorf("exit %d", code)
	}
	for pid := range pids {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		if !gone(n) {
			t.Errorf("process %d is left", n)
		}
	}
}

func TestCmdThatCannotServe(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--cmd", "no-such-command-anywhere"}, exitFailure, "not found"},
		{[]string{"--cmd", script(t, "echo 'PHP Fatal error:  no such class' >&2; exit 255")}, exitFailure, "it ended before it was ready: exit status 255: PHP Fatal error:  no such class"},
		{[]string{"--cmd", script(t, "echo hello >&3; exec cat")}, exitFailure, `no frame on descriptor 3: "hello"`},
		{[]string{"--demo", "--cmd", script(t, childScript) + " demo.echo"}, exitFailure, `kind "demo.echo" has a handler already`},
		{[]string{"--cmd", script(t, childScript) + " k", "--cmd", script(t, childScript) + " k"}, exitFailure, `kind "k" has a handler already`},
		{[]string{"--cmd", ""}, exitUsage, "there is no command"},
		{[]string{"--cmd", "php 'x"}, exitUsage, "a ' is not closed"},
		{[]string{"--cmd", "true", "--procs", "0"}, exitUsage, "--procs"},
		{[]string{"--cmd", "true", "--procs", "1001"}, exitUsage, "--procs"},
		{[]string{"--cmd", "true", "--max-tasks", "-1"}, exitUsage, "--max-tasks"},
		{[]string{"--cmd", "true", "--max-time", "-1s"}, exitUsage, "--max-time"},
		{[]string{"--cmd", "true", "--max-memory", "lots"}, exitUsage, "--max-memory"},
		{[]string{"--demo", "--procs", "2"}, exitUsage, "--procs without --cmd"},
		{nil, exitUsage, "none of --cmd, --exec, --demo and --push is given"},
	} {
		t.Run(fmt.Sprint(test.args), func(t *testing.T) {
			t.Parallel()
			stderr := sqlDoor(t, url).fails(test.code, append([]string{"worker"}, test.args...)...)
			if !strings.Contains(stderr, test.says) || strings.Contains(stderr, "Command.") {
				t.Errorf("%s\nlacks %s", stderr, test.says)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"": 0, "1": 1, "1000": 1000, "1b": 1, "1k": 1 << 10, "128M": 128 << 20, "128MB": 128 << 20, "128MiB": 128 << 20, "2g": 2 << 30, "1T": 1 << 40,
		"0": -1, "-1": -1, "M": -1, "1.5G": -1, "1 G": -1, "1P": -1, "999999999999T": -1, "١K": -1} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, want %d (%v)", text, got, want, err)
		}
	}
}
