//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"golang.org/x/sys/unix"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// openTerminal returns both ends of a terminal of so many columns.
func openTerminal(t *testing.T, columns int) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program
}

// onTerminal runs the program on a terminal, types what is given, and returns what a person saw and the exit code.
func (c cli) onTerminal(columns int, typed string, args ...string) (string, int) {
	c.t.Helper()
	person, program := openTerminal(c.t, columns)
	cmd := c.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	_ = program.Close() // the program has it now
	var seen proc.Output
	read := make(chan struct{})
	go func() { // ends with the program, whose end of the terminal is the last
		defer close(read)
		_, _ = io.Copy(&seen, person) // a terminal without the other end is an error
	}()
	if typed != "" {
		if _, err := io.WriteString(person, typed); err != nil {
			c.t.Fatal(err)
		}
	}
	proc.Await(c.t, "the program ends", func() bool {
		select {
		case <-read:
			return true
		default:
			return false
		}
	})
	_ = cmd.Wait() // the exit code is in ProcessState
	return seen.String(), cmd.ProcessState.ExitCode()
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

func TestBarOnATerminal(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	startWorker(t, url, "--demo")
	const columns = 70
	c := sqlDoor(t, url)
	seen, code := c.onTerminal(columns, "", "submit", "demo.sleep", `{"seconds": 1.5}`, "--watch")
	if code != exitOK || !strings.Contains(seen, "[===") || !strings.Contains(seen, "/15  ") || !strings.Contains(seen, `{"slept":1.5}`) || !strings.Contains(seen, "eta ") {
		t.Errorf("exit %d: %q", code, seen)
	}
	for _, drawn := range strings.FieldsFunc(seen, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if width := uniseg.StringWidth(escapes.ReplaceAllString(drawn, "")); width >= columns {
			t.Errorf("%d columns wide, which wraps: %q", width, drawn)
		}
	}
	if !strings.HasSuffix(strings.TrimSpace(escapes.ReplaceAllString(seen, "")), `{"slept":1.5}`) {
		t.Errorf("the bar stays: %q", seen)
	}
	seen, code = c.onTerminal(columns, "", "submit", "demo.sleep", `{"seconds": 0.3, "fail": true}`, "--watch")
	if code != exitTaskFailed || !strings.Contains(seen, "\x1b[31merror:\x1b[0m task") {
		t.Errorf("exit %d: %q", code, seen)
	}
}

func TestTextOnATerminal(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	startWorker(t, url, "--exec", `k=printf '\033[2J\033]0;owned\007%s\n' end`)
	c := sqlDoor(t, url)
	id := c.ok("submit", "k")
	c.ok("tasks", "watch", id)
	const columns = 76
	seen, _ := c.onTerminal(columns, "", "tasks", "list")
	for line := range strings.Lines(seen) {
		if uniseg.StringWidth(strings.TrimRight(line, "\r\n")) > columns {
			t.Errorf("too wide: %q", line)
		}
	}
	if !strings.Contains(seen, " ago") || strings.Contains(seen, "T0") {
		t.Errorf("times are not relative: %q", seen)
	}
	if seen, _ := c.onTerminal(columns, "", "tasks", "logs", id); strings.Contains(seen, "\x1b") || !strings.Contains(seen, `\x1b[2J`) {
		t.Errorf("what the task wrote reaches the terminal: %q", seen)
	}
	if seen, _ := c.onTerminal(columns, "", "tasks", "logs", id, "-o", "json"); strings.Contains(seen, "\x1b") {
		t.Errorf("JSON: %q", seen)
	}
	if seen, _ := c.onTerminal(columns, "", "doctor"); !strings.Contains(seen, "\x1b[32mok") {
		t.Errorf("no colour: %q", seen)
	}
	c.env = append(c.env, "NO_COLOR=1")
	if seen, _ := c.onTerminal(columns, "", "doctor"); strings.Contains(seen, "\x1b") {
		t.Errorf("NO_COLOR: %q", seen)
	}
}

// On a terminal the numbers stay in place.
func TestStatsOnATerminal(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	c.ok("submit", "nobody", "--queue", "lonely")
	person, program := openTerminal(t, 100)
	cmd := c.command("stats", "--watch")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = program.Close() // the program has it now
	var seen proc.Output
	read := make(chan struct{})
	go func() { // ends with the program
		defer close(read)
		_, _ = io.Copy(&seen, person) // a terminal without the other end is an error
	}()
	proc.Await(t, "three frames", func() bool { return strings.Count(seen.String(), "\x1b[H") >= 3 })
	_ = cmd.Process.Signal(os.Interrupt)
	<-read
	_ = cmd.Wait() // it was interrupted
	frames := strings.Split(seen.String(), "\x1b[H")
	if !strings.HasSuffix(frames[1], "\x1b[K\r\n\x1b[J") || !strings.Contains(frames[2], "lonely") || !strings.Contains(frames[2], "+0.0/s") {
		t.Errorf("%q", frames)
	}
}

func TestQuestionOnATerminal(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	if seen, code := c.onTerminal(80, "no\n", "migrate", "down", "--to", "0"); code != exitFailure || !strings.Contains(seen, "Type yes to go on") {
		t.Errorf("no: exit %d: %q", code, seen)
	}
	c.ok("tasks", "list")
	if seen, code := c.onTerminal(80, "yes\n", "migrate", "down", "--to", "0"); code != exitOK {
		t.Errorf("yes: exit %d: %q", code, seen)
	}
	c.fails(exitSchema, "tasks", "list")
}

// Elsewhere nothing moves: a line for each change, and no escape sequences.
func TestLinesElsewhere(t *testing.T) {
	t.Parallel()
	bothDoors(t, func(t *testing.T, url string, c cli) {
		startWorker(t, url, "--demo")
		r := c.run("submit", "demo.sleep", `{"seconds": 2.2}`, "--watch")
		if r.code != exitOK || r.stdout != "{\"slept\":2.2}\n" || strings.Contains(r.stderr, "\x1b") {
			t.Errorf("%+v", r)
		}
		lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
		if len(lines) < 3 || len(lines) > 7 || !strings.Contains(lines[len(lines)-1], "completed  100%  22/22") || !strings.Contains(r.stderr, "running") {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
		one, two := c.ok("submit", "demo.echo"), c.ok("submit", "demo.echo")
		both := c.ok("tasks", "watch", one, two)
		if !strings.Contains(both, one+"  demo.echo  completed") || !strings.Contains(both, two+"  demo.echo  completed") {
			t.Errorf("%q", both)
		}
	})
}
