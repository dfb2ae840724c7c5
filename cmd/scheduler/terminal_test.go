//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

// seat is a program on a terminal.
type seat struct {
	t    *testing.T
	cmd  *exec.Cmd
	seen proc.Output   // by the person
	left chan struct{} // closed when the program has left the terminal
}

// sitDown starts the program on a terminal, and types what is given.
func (c cli) sitDown(columns int, typed string, args ...string) *seat {
	c.t.Helper()
	person, program := openTerminal(c.t, columns)
	s := &seat{t: c.t, cmd: c.command(args...), left: make(chan struct{})}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = program, program, program
	if err := s.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	_ = program.Close() // the program has it now
	go func() {         // ends with the program, whose end of the terminal is the last
		defer close(s.left)
		_, _ = io.Copy(&s.seen, person) // a terminal without the other end is an error
	}()
	if typed != "" {
		if _, err := io.WriteString(person, typed); err != nil {
			c.t.Fatal(err)
		}
	}
	return s
}

// standUp waits until the program ends, and returns what a person saw and the exit code.
func (s *seat) standUp() (string, int) {
	s.t.Helper()
	proc.Await(s.t, "the program ends", func() bool {
		select {
		case <-s.left:
			return true
		default:
			return false
		}
	})
	_ = s.cmd.Wait() // the exit code is in ProcessState
	return s.seen.String(), s.cmd.ProcessState.ExitCode()
}

// onTerminal runs the program on a terminal to its end.
func (c cli) onTerminal(columns int, typed string, args ...string) (string, int) {
	c.t.Helper()
	return c.sitDown(columns, typed, args...).standUp()
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

// stepper is a command that reports 22 steps, one after the other, and waits at the 15th and at the last for a file of that name.
func stepper(t *testing.T) (path string, letGo func(step string)) {
	t.Helper()
	dir := t.TempDir()
	path = script(t, fmt.Sprintf(`
i=0
while [ $i -lt 22 ]; do
	i=$((i+1))
	echo "{\"op\":\"progress\",\"current\":$i,\"total\":22,\"message\":\"step $i\"}" >&3
	case $i in 15 | 22) while [ ! -e %s/$i ]; do sleep 0.02; done;; esac
done
echo '{"op":"result","result":{"steps":22}}' >&3
`, dir))
	return path, func(step string) {
		if err := os.WriteFile(filepath.Join(dir, step), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBarOnATerminal(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	path, letGo := stepper(t)
	startWorker(t, url, "--demo", "--exec", "steps="+path)
	const columns = 70
	c := sqlDoor(t, url)
	person := c.sitDown(columns, "", "submit", "steps", "--watch")
	proc.Await(t, "the bar is drawn", func() bool {
		seen := person.seen.String()
		return strings.Contains(seen, "[===") && strings.Contains(seen, "15/22  eta ")
	})
	letGo("15")
	letGo("22")
	seen, code := person.standUp()
	if code != exitOK {
		t.Errorf("exit %d: %q", code, seen)
	}
	for _, drawn := range strings.FieldsFunc(seen, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if width := uniseg.StringWidth(escapes.ReplaceAllString(drawn, "")); width >= columns {
			t.Errorf("%d columns wide, which wraps: %q", width, drawn)
		}
	}
	if !strings.HasSuffix(strings.TrimSpace(escapes.ReplaceAllString(seen, "")), `{"steps":22}`) {
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
	person := c.sitDown(100, "", "stats", "--watch")
	proc.Await(t, "three frames", func() bool { return strings.Count(person.seen.String(), "\x1b[H") >= 3 })
	_ = person.cmd.Process.Signal(os.Interrupt)
	seen, _ := person.standUp()
	frames := strings.Split(seen, "\x1b[H")
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
		path, letGo := stepper(t)
		startWorker(t, url, "--demo", "--exec", "steps="+path)
		p := c.start("submit", "steps", "--watch")
		p.Says(`running +68%  15/22`)
		letGo("15")
		p.Says(`running +100%  22/22`)
		letGo("22")
		if code := p.Exit(); code != exitOK || p.Stdout.String() != "{\"steps\":22}\n" || strings.Contains(p.Stderr.String(), "\x1b") {
			t.Errorf("exit %d: %q, %q", code, p.Stdout, p.Stderr)
		}
		lines := strings.Split(strings.TrimSpace(p.Stderr.String()), "\n")
		if len(lines) > 24 || len(slices.Compact(slices.Clone(lines))) != len(lines) || !strings.Contains(lines[len(lines)-1], "completed  100%  22/22") {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
		one, two := c.ok("submit", "demo.echo"), c.ok("submit", "demo.echo")
		both := c.ok("tasks", "watch", one, two)
		if !strings.Contains(both, one+"  demo.echo  completed") || !strings.Contains(both, two+"  demo.echo  completed") {
			t.Errorf("%q", both)
		}
	})
}
