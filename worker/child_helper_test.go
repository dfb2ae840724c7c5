//go:build unix

package worker_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// childArgs are how a test asks this binary to be a long-lived child.
type childArgs struct {
	Kinds    []string // nil: k
	Slots    int
	While    string // a file: a process that finds it does Else
	Else     string // other: other kinds, exit: exit 7, silent: never ready
	Silent   bool   // never ready
	Exit     bool   // 7 at once
	V        int
	Deaf     bool // never reads stdin
	Stubborn bool // ignores drain, SIGTERM and the end of stdin
}

// childCommand is the argv of such a child.
func childCommand(args childArgs) []string {
	raw, _ := json.Marshal(args)
	// With the race detector a process sleeps for a second before it exits, unless it is told not to.
	return []string{"env", "GORACE=atexit_sleep_ms=0", "WORKER_TEST_CHILD=" + string(raw), os.Args[0]}
}

// helperChild speaks the protocol and misbehaves as the payload of a task says.
type helperChild struct {
	mu     sync.Mutex
	fd     *os.File
	cancel map[string]chan string
	saved  map[string]chan string
	tasks  sync.WaitGroup
}

type childTask struct {
	ID         string          `json:"id"`
	Kind       string          `json:"kind"`
	Payload    json.RawMessage `json:"payload"`
	Attempt    int             `json:"attempt"`
	Checkpoint json.RawMessage `json:"checkpoint"`
}

func (h *helperChild) say(fields ...any) {
	frame := map[string]any{}
	for i := 0; i < len(fields); i += 2 {
		frame[fields[i].(string)] = fields[i+1]
	}
	raw, err := json.Marshal(frame)
	if err != nil {
		panic(err)
	}
	h.raw(string(raw))
}

func (h *helperChild) raw(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _ = h.fd.WriteString(line + "\n")
}

func init() { beChild = helper }

// helper is main of such a child.
func helper(said string) {
	var args childArgs
	if err := json.Unmarshal([]byte(said), &args); err != nil {
		panic(err)
	}
	if _, err := os.Stat(args.While); err == nil {
		switch args.Else {
		case "other":
			args.Kinds = []string{"k", "other"}
		case "exit":
			args.Exit = true
		case "silent":
			args.Silent = true
		}
	}
	if args.Exit {
		fmt.Fprintln(os.Stderr, "no way")
		os.Exit(7)
	}
	if args.Stubborn {
		signal.Ignore(syscall.SIGTERM)
	}
	if args.Silent {
		<-time.After(time.Hour)
	}
	h := &helperChild{fd: os.NewFile(3, "control"), cancel: map[string]chan string{}, saved: map[string]chan string{}}
	if args.Kinds == nil {
		args.Kinds = []string{"k"}
	}
	if args.V == 0 {
		args.V = 1
	}
	h.say("op", "ready", "v", args.V, "kinds", args.Kinds, "slots", max(1, args.Slots), "language", "test 1.0")
	if args.Deaf {
		for {
			<-time.After(time.Hour)
		}
	}
	h.serve(args)
}

func (h *helperChild) serve(args childArgs) {
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		var m struct {
			Op, ID, Reason, Error string
			Task                  childTask
		}
		if err := json.Unmarshal(line, &m); err != nil {
			panic(err)
		}
		switch m.Op {
		case "task":
			cancel, saved := make(chan string, 1), make(chan string, 1)
			h.mu.Lock()
			h.cancel[m.Task.ID], h.saved[m.Task.ID] = cancel, saved
			h.mu.Unlock()
			h.tasks.Go(func() { h.run(m.Task, cancel, saved) })
		case "cancel":
			h.mu.Lock()
			c := h.cancel[m.ID]
			h.mu.Unlock()
			c <- m.Reason
		case "saved":
			h.mu.Lock()
			c := h.saved[m.ID]
			h.mu.Unlock()
			select {
			case c <- "saved " + m.Error:
			default: // nobody waits for it
			}
		case "drain":
			if !args.Stubborn {
				h.tasks.Wait()
				os.Exit(0)
			}
		}
	}
	for args.Stubborn {
		<-time.After(time.Hour)
	}
	h.tasks.Wait()
}

func (h *helperChild) run(t childTask, cancel, saved chan string) {
	var p struct {
		Do     string
		N      int
		File   string
		Frame  string
		Frames []string
	}
	_ = json.Unmarshal(t.Payload, &p)
	result := func(v any) { h.say("op", "result", "id", t.ID, "result", v) }
	switch p.Do {
	case "echo":
		result(t.Payload)
	case "pid":
		result(os.Getpid())
	case "task":
		result(t)
	case "frames": // $id stands for the task's; at once, so that nothing happens between the first and the last
		h.raw(strings.ReplaceAll(strings.Join(p.Frames, "\n"), "$id", t.ID))
	case "exit":
		fmt.Fprintln(os.Stderr, "the reason")
		os.Exit(p.N)
	case "end":
		h.say("op", "error", "id", t.ID, "code", "fatal", "message", "it ends", "permanent", true, "ends", true)
		<-time.After(100 * time.Millisecond) // of its own end
		os.Exit(p.N)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "kill first":
		if t.Attempt == 1 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		result(t.Attempt)
	case "long":
		h.raw(`{"op":"result","id":"` + t.ID + `","result":"` + strings.Repeat("x", 20<<20) + `"}`)
		<-time.After(time.Hour)
	case "close fd":
		_ = h.fd.Close()
		<-time.After(time.Hour)
	case "grandchild":
		cmd := exec.Command("sleep", "1000")
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, []*os.File{h.fd}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println(cmd.Process.Pid)
		os.Exit(0)
	case "flood":
		for i := range p.N {
			h.say("op", "log", "id", t.ID, "message", fmt.Sprint("line ", i))
			h.say("op", "progress", "id", t.ID, "current", i+1, "total", p.N, "message", "on")
			fmt.Println("out", i)
			h.raw(`{"op":"dance"}`)
		}
		result(p.N)
	case "print":
		for i := range p.N {
			fmt.Println("out", i)
			fmt.Fprintln(os.Stderr, "err", i)
		}
		fmt.Print("no newline")
		result(nil)
	case "hang":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println(os.Getpid())
		<-time.After(time.Hour)
	case "wait":
		fmt.Println(os.Getpid())
		reason := <-cancel
		h.say("op", "error", "id", t.ID, "code", "cancelled", "message", "told: "+reason)
	case "wait, then succeed":
		fmt.Println("begun")
		result("told: " + <-cancel)
	case "until file":
		fmt.Println("begun")
		for {
			if _, err := os.Stat(p.File); err == nil {
				break
			}
			<-time.After(5 * time.Millisecond)
		}
		result("there")
	case "checkpoint":
		h.say("op", "checkpoint", "id", t.ID, "checkpoint", json.RawMessage(p.Frame))
		answer := <-saved
		if t.Attempt == 1 {
			h.say("op", "error", "id", t.ID, "message", answer, "retry_after_ms", 0)
			return
		}
		result(map[string]any{"answer": answer, "found": t.Checkpoint})
	case "checkpoint, then wait":
		h.say("op", "checkpoint", "id", t.ID, "checkpoint", 1)
		fmt.Println("begun")
		reason := <-cancel
		h.say("op", "log", "id", t.ID, "message", "told: "+reason)
		h.say("op", "log", "id", t.ID, "message", <-saved)
		h.say("op", "error", "id", t.ID, "code", "cancelled", "message", "told: "+reason)
	case "checkpoint and die":
		if t.Attempt == 1 {
			for i := range p.N {
				h.say("op", "checkpoint", "id", t.ID, "checkpoint", i+1)
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		result(t.Checkpoint)
	case "checkpoints unread":
		for i := range p.N {
			h.say("op", "checkpoint", "id", t.ID, "checkpoint", i)
		}
		result(nil)
	case "eat":
		hoard = append(hoard, make([]byte, p.N<<20))
		for i := 0; i < p.N<<20; i += os.Getpagesize() {
			hoard[len(hoard)-1][i] = 1
		}
		result(os.Getpid())
	default:
		panic("do " + p.Do)
	}
}

var hoard [][]byte
