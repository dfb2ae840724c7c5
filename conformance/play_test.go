//go:build unix

package conformance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The doors, that is the protocols.
const (
	doorLease = "lease"
	doorChild = "child"
)

// play is one case at work: its tasks, its queue, and the workers on it.
type play struct {
	t         *testing.T
	server    *server
	proxy     *proxy // in front of the workers of door lease
	client    client
	door      string
	ttl       int // milliseconds
	variables map[string]string
	tasks     map[string][]string // ids by name
	workers   []*process
	told      bool // workers were told to end
}

func newPlay(t *testing.T, s *server) *play {
	return &play{t: t, server: s, tasks: map[string][]string{}, variables: map[string]string{
		"queue": "q-" + hex.EncodeToString(random(6)), "worker": newUUID(), "other_worker": newUUID(), "unknown_worker": newUUID()}}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func newUUID() string {
	b := random(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// run does the steps.
func (p *play) run(c testCase) {
	p.t.Helper()
	for i, s := range c.Steps {
		if err := p.do(s); err != nil {
			p.t.Fatalf("step %d, %s: %v", i+1, s, err)
		}
	}
	if p.proxy != nil && !p.proxy.dropped() {
		p.t.Error("the answer that was to be lost never came")
	}
}

func (p *play) do(s step) error {
	switch {
	case s.Submit != nil:
		return p.submit(s)
	case s.Await != "":
		return p.each(s.Await, func(id string) error { return p.await(s.Await, id, p.fill(s.Is)) })
	case s.Logs != "":
		return p.each(s.Logs, func(id string) error { return p.list(id, "logs", map[string]any{"$has": p.messages(s.Has)}) })
	case s.History != "":
		return p.each(s.History, func(id string) error { return p.list(id, "attempts", p.fill(s.Are)) })
	case s.Request != "":
		return p.request(s)
	case s.Lose != "":
		return p.each(s.Lose, p.lose)
	case s.Drop != "":
		p.proxy.lose(s.Drop)
		return nil
	case s.Start > 0:
		for range s.Start {
			p.work()
		}
		return nil
	case s.Server == "kill":
		p.server.down()
		return nil
	case s.Server == "start":
		p.server.up()
		return nil
	case s.Signal != "":
		return p.signal(s.Signal)
	case s.Exit != nil:
		return p.exit(*s.Exit)
	}
	return errors.New("no such step here")
}

func (p *play) fill(value any) any { return fill(value, p.variables) }

// messages are patterns of log lines; a text stands for a line of that text.
func (p *play) messages(patterns []any) []any {
	lines := make([]any, len(patterns))
	for i, pattern := range patterns {
		if lines[i] = p.fill(pattern); kindOf(pattern) != "object" {
			lines[i] = map[string]any{"message": lines[i]}
		}
	}
	return lines
}

// each does something for all tasks of a name.
func (p *play) each(name string, do func(id string) error) error {
	if len(p.tasks[name]) == 0 {
		return fmt.Errorf("no task %s", name)
	}
	for _, id := range p.tasks[name] {
		if err := do(id); err != nil {
			return fmt.Errorf("task %s: %w", id, err)
		}
	}
	return nil
}

// call is a request for a body.
func (p *play) call(method, path string, body any) (any, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	answer, err := p.server.call(ctx, method, path, nil, body)
	if err != nil {
		return nil, err
	}
	if status := answer["status"].(float64); status >= 300 {
		return nil, fmt.Errorf("%s %s: %s", method, path, show(answer))
	}
	return answer["body"], nil
}

func (p *play) submit(s step) error {
	task, _ := p.fill(s.Submit).(map[string]any)
	if _, named := task["queue"]; !named {
		task["queue"] = p.variables["queue"]
	}
	for range max(s.Times, 1) {
		body, err := p.call("POST", "/v1/tasks", task)
		if err != nil {
			return err
		}
		id, err := at(body, "/id")
		if err != nil {
			return err
		}
		p.tasks[s.As], p.variables[s.As] = append(p.tasks[s.As], id), id
	}
	return nil
}

// await waits until the task is as the pattern says; once it is done otherwise there is no hope.
func (p *play) await(name, id string, pattern any) error {
	done := false
	return p.eventually(func() error {
		task, err := p.call("GET", "/v1/tasks/"+id, nil)
		if err != nil {
			return err
		}
		fields, _ := task.(map[string]any)
		done, _ = fields["done"].(bool)
		if worker, err := at(task, "/worker/id"); err == nil {
			p.variables[name+".worker"] = worker
		}
		if err := match(pattern, task); err != nil {
			return fmt.Errorf("%w\nof %s", err, show(task))
		}
		return nil
	}, func() bool { return done })
}

// list waits until a list about a task is as the pattern says.
func (p *play) list(id, what string, pattern any) error {
	return p.eventually(func() error {
		page, err := p.call("GET", "/v1/tasks/"+id+"/"+what, nil)
		if err != nil {
			return err
		}
		fields, _ := page.(map[string]any)
		return match(pattern, fields["items"])
	}, nil)
}

// request sends one as it is written, or the same again until the answer is as it has to be.
func (p *play) request(s step) error {
	method, path, _ := strings.Cut(s.Request, " ")
	path, _ = p.fill(path).(string)
	headers := map[string]string{}
	for name, value := range s.Headers {
		headers[name], _ = p.fill(value).(string)
	}
	wanted, only := s.Answer, true
	if s.Until != nil {
		wanted, only = s.Until, false
	}
	return p.eventually(func() error {
		ctx, cancel := context.WithTimeout(p.t.Context(), patience)
		defer cancel()
		answer, err := p.server.call(ctx, method, path, headers, p.fill(s.Body))
		if err != nil {
			return err
		}
		if err := match(p.fill(wanted), answer); err != nil {
			return fmt.Errorf("%w\nof %s", err, show(answer))
		}
		for name, pointer := range s.Save {
			if p.variables[name], err = at(answer, pointer); err != nil {
				return err
			}
		}
		return nil
	}, func() bool { return only })
}

// lose takes a running task from its worker: by a DELETE of a worker over HTTP, and by stopping the parent of a child until it
// counts as dead.
func (p *play) lose(id string) error {
	if p.door == doorChild {
		return p.freeze(id)
	}
	task, err := p.call("GET", "/v1/tasks/"+id, nil)
	if err != nil {
		return err
	}
	worker, err := at(task, "/worker/id")
	if err != nil {
		return err
	}
	_, err = p.call("DELETE", "/v1/workers/"+url.PathEscape(worker), nil)
	return err
}

// freeze stops the workers, not their children, until the task was taken from them.
func (p *play) freeze(id string) error {
	for _, w := range p.workers {
		w.signal(syscall.SIGSTOP)
		defer w.signal(syscall.SIGCONT)
	}
	return eventually(func() error {
		task, err := p.call("GET", "/v1/tasks/"+id, nil)
		if err != nil {
			return err
		}
		if state, err := at(task, "/state"); err != nil || state == "running" {
			return errors.Join(errors.New("it is running still"), err)
		}
		return nil
	}, nil)
}

// work starts a worker.
func (p *play) work() {
	p.t.Helper()
	p.workers = append(p.workers, p.worker())
}

func (p *play) worker() *process {
	if p.door == doorChild {
		argv := []string{binary, "worker", "--cmd", quoted(p.client.argv), "--procs", "1", "--queue", p.variables["queue"],
			"--heartbeat", "1s", "--lease-ttl", fmt.Sprintf("%dms", p.ttl)}
		return start(p.t, argv, append([]string{"SCHEDULER_DATABASE_URL=" + p.server.database}, p.client.env...), nil)
	}
	return start(p.t, p.client.argv, append([]string{"SCHEDULER_URL=" + p.proxy.url, "SCHEDULER_TOKEN=" + token,
		"QUEUES=" + p.variables["queue"], "TTL_MS=" + strconv.Itoa(p.ttl)}, p.client.env...), nil)
}

func quoted(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = "'" + word + "'"
	}
	return strings.Join(words, " ")
}

// eventually polls, and keeps the workers alive meanwhile.
func (p *play) eventually(look func() error, hopeless func() bool) error {
	var died error
	return eventually(func() error {
		died = errors.Join(died, p.tend())
		return errors.Join(died, look())
	}, func() bool { return died != nil || hopeless != nil && hopeless() })
}

// tend starts workers anew that killed themselves, as a supervisor would. One that ends otherwise without being told to is a
// failure.
func (p *play) tend() error {
	for i, w := range p.workers {
		if p.told || !w.ended() {
			continue
		}
		if status, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			return fmt.Errorf("the worker ended by itself: %s\n%s", w.cmd.ProcessState, w.stderr)
		}
		p.workers[i] = p.worker()
	}
	return nil
}

// signal tells the workers something.
func (p *play) signal(name string) error {
	s, err := signalOf(name)
	p.told = p.told || s == syscall.SIGTERM
	for _, w := range p.workers {
		w.signal(s)
	}
	return err
}

func signalOf(name string) (syscall.Signal, error) {
	s, ok := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}[name]
	if !ok {
		return 0, os.ErrInvalid
	}
	return s, nil
}

// exit waits until the workers have ended.
func (p *play) exit(code int) error {
	p.told = true
	for _, w := range p.workers {
		got, err := w.wait()
		if err == nil && got != code {
			err = fmt.Errorf("exit %s, want %s", strconv.Itoa(got), strconv.Itoa(code))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
