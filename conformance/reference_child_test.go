//go:build unix

package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
)

// serveFrames speaks with scheduler worker --cmd: frames on stdin, frames on descriptor 3.
func serveFrames(ctx context.Context) error {
	c := &child{out: os.NewFile(3, "frames")}
	if err := c.say(map[string]any{"op": "ready", "v": 1, "kinds": kindNames(), "slots": 1, "language": language}); err != nil {
		return err
	}
	frames := make(chan frame)
	go hearParent(frames) // until the process ends
	var work sync.WaitGroup
	defer work.Wait()
	for {
		select {
		case <-ctx.Done():
			go c.hear(frames) // what is said about what runs still
			return nil
		case f, ok := <-frames:
			if !ok || f.Op == "drain" {
				go c.hear(frames)
				return nil
			}
			if f.Op == "task" {
				work.Go(c.begin(f.Task))
			}
			c.take(f)
		}
	}
}

type frame struct {
	Op     string   `json:"op"`
	ID     string   `json:"id"`
	Reason string   `json:"reason"`
	Error  string   `json:"error"` // of saved: why it was not
	Task   wireTask `json:"task"`
}

func hearParent(frames chan<- frame) {
	defer close(frames)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		var f frame
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		frames <- f
	}
}

// child is the worker's side of the frames.
type child struct {
	out *os.File

	mu      sync.Mutex
	running map[string]*running
}

type running struct {
	child  *child
	id     string
	ctx    context.Context
	cancel context.CancelCauseFunc
	saved  chan error
}

func (c *child) say(f map[string]any) error {
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err = c.out.Write(append(line, '\n'))
	return err
}

func (c *child) hear(frames <-chan frame) {
	for f := range frames {
		c.take(f)
	}
}

// take acts on what concerns a running task.
func (c *child) take(f frame) {
	c.mu.Lock()
	r := c.running[f.ID]
	c.mu.Unlock()
	switch {
	case r == nil:
	case f.Op == "cancel":
		r.cancel(errors.New(f.Reason))
	case f.Op == "saved":
		var refused error
		if f.Error != "" {
			refused = errors.New(f.Error)
		}
		select {
		case r.saved <- refused:
		case <-r.ctx.Done():
		}
	}
}

// begin notes a task and returns what works on it.
func (c *child) begin(task wireTask) func() {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &running{child: c, id: task.ID, ctx: ctx, cancel: cancel, saved: make(chan error, 1)}
	c.mu.Lock()
	if c.running == nil {
		c.running = map[string]*running{}
	}
	c.running[task.ID] = r
	c.mu.Unlock()
	return func() {
		out := handle(ctx, task, r)
		c.mu.Lock()
		delete(c.running, task.ID)
		c.mu.Unlock()
		cancel(nil)
		if err := c.say(out.frame(task.ID)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func (o outcome) frame(id string) map[string]any {
	switch {
	case o.snooze != nil:
		return map[string]any{"op": "snooze", "id": id, "delay_ms": *o.snooze}
	case o.failure != nil:
		f := map[string]any{"op": "error", "id": id, "message": o.failure.message, "code": o.failure.code, "stack": o.failure.stack, "permanent": o.failure.permanent}
		if o.failure.retryAfter != nil {
			f["retry_after_ms"] = *o.failure.retryAfter
		}
		return f
	}
	return map[string]any{"op": "result", "id": id, "result": o.result}
}

func (r *running) progress(current, total int, message string) error {
	return r.child.say(map[string]any{"op": "progress", "id": r.id, "current": current, "total": total, "message": message})
}

func (r *running) log(stream, message string) error {
	switch stream {
	case "stdout":
		fmt.Println(message)
	case "stderr":
		fmt.Fprintln(os.Stderr, message)
	default:
		return r.child.say(map[string]any{"op": "log", "id": r.id, "message": message})
	}
	return nil
}

func (r *running) checkpoint(value any) error {
	if err := r.child.say(map[string]any{"op": "checkpoint", "id": r.id, "checkpoint": value}); err != nil {
		return err
	}
	select {
	case err := <-r.saved:
		return err
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}
