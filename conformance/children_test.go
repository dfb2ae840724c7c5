//go:build unix

package conformance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/proc"
)

// longest line between parent and child.
const longest = 16 << 20

// TestChildren plays scheduler worker, frame by frame, against the worker of each client.
func TestChildren(t *testing.T) {
	t.Parallel()
	cases := read(t, "children.json")
	for _, c := range clients(t) {
		if c.leases {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			proc.Need(t, c.argv[0])
			for _, one := range cases {
				t.Run(one.Name, func(t *testing.T) {
					t.Parallel()
					p := newParent(t, c)
					for i, s := range one.Steps {
						if err := p.do(s); err != nil {
							t.Fatalf("step %d, %s: %v", i+1, s, err)
						}
					}
				})
			}
		})
	}
}

// parent is what scheduler worker is to a child.
type parent struct {
	child     *proc.Process
	stdin     *os.File
	frames    chan any // what the child says; closed at the end
	failed    error    // why frames is closed
	passed    []any    // frames of progress and log that nobody asked for
	variables map[string]string
}

func newParent(t *testing.T, c client) *parent {
	t.Helper()
	in, stdin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	frames, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &parent{stdin: stdin, frames: make(chan any), variables: map[string]string{"id": newUUID(), "other": newUUID()}}
	t.Cleanup(func() { _ = frames.Close() })
	cmd := exec.Command(c.argv[0], c.argv[1:]...)
	cmd.Env = proc.Environment(append([]string{"SCHEDULER_FD=3"}, c.env...)...)
	cmd.Stdin, cmd.ExtraFiles = in, []*os.File{out}
	p.child = proc.Start(t, cmd)
	_ = in.Close() // it is the child's
	t.Cleanup(func() { _ = stdin.Close() })
	go p.hear(frames, t.Context().Done()) // ends with the child, or the test
	return p
}

func (p *parent) hear(frames io.Reader, over <-chan struct{}) {
	defer close(p.frames)
	lines := bufio.NewScanner(frames)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		var frame any
		if p.failed = json.Unmarshal(lines.Bytes(), &frame); p.failed != nil {
			return
		}
		select {
		case p.frames <- frame:
		case <-over:
			return
		}
	}
	p.failed = lines.Err()
}

func (p *parent) do(s step) error {
	switch {
	case s.Send != nil:
		text, err := json.Marshal(fill(s.Send, p.variables))
		if err != nil {
			return err
		}
		return p.write(string(text))
	case s.Line != "":
		return p.write(s.Line)
	case s.Receive != nil:
		return p.receive(fill(s.Receive, p.variables))
	case s.Close == "stdin":
		return p.stdin.Close()
	case s.Stdout != "":
		return p.said(p.child.Stdout, s.Stdout)
	case s.Stderr != "":
		return p.said(p.child.Stderr, s.Stderr)
	case s.Signal != "":
		named, err := signalOf(s.Signal)
		p.child.Signal(named)
		return err
	case s.Exit != nil:
		return p.exit(*s.Exit)
	}
	return errors.New("no such step here")
}

func (p *parent) write(line string) error {
	_, err := io.WriteString(p.stdin, line+"\n")
	return err
}

// receive takes the next frame. Progress and log lines that do not match are passed over.
func (p *parent) receive(pattern any) error {
	limit := time.NewTimer(proc.Patience)
	defer limit.Stop()
	for {
		select {
		case frame, ok := <-p.frames:
			if !ok {
				return fmt.Errorf("descriptor 3 is closed: %w", errors.Join(io.EOF, p.failed))
			}
			err := match(pattern, frame)
			if err == nil {
				return nil
			}
			if fields, _ := frame.(map[string]any); fields["op"] != "progress" && fields["op"] != "log" {
				return fmt.Errorf("%w\nof %s, after %s", err, show(frame), show(p.passed))
			}
			p.passed = append(p.passed, frame)
		case <-limit.C:
			return fmt.Errorf("nothing of the kind came, only %s", show(p.passed))
		}
	}
}

func (p *parent) said(o *proc.Output, text string) error {
	return eventually(func() error {
		if !strings.Contains(o.String(), text) {
			return fmt.Errorf("it said %q", o.String())
		}
		return nil
	}, nil)
}

// exit waits for the child's end. Nothing but progress and lines may come before.
func (p *parent) exit(code int) error {
	limit := time.NewTimer(proc.Patience)
	defer limit.Stop()
	for open := true; open; {
		var frame any
		select {
		case frame, open = <-p.frames:
		case <-limit.C:
			return errors.New("descriptor 3 stays open")
		}
		if fields, _ := frame.(map[string]any); open && fields["op"] != "progress" && fields["op"] != "log" {
			return fmt.Errorf("at the end came %s", show(frame))
		}
	}
	got, err := p.child.Wait()
	if err == nil && got != code {
		err = fmt.Errorf("exit %d, want %d", got, code)
	}
	return errors.Join(err, p.failed)
}
