package self

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// process is a worker process as its parent sees it.
type process struct {
	cmd              *exec.Cmd
	orders           io.WriteCloser
	say              *json.Encoder
	answers          chan message // ready, report, end
	started, handled atomic.Int64
	address          string        // of a server
	complaints       bytes.Buffer  // its standard error
	ended            chan struct{} // closed at the end of its output
}

var errEnded = errors.New("a worker process ended")

// answerWithin bounds the wait for a worker process that should answer at once.
const answerWithin = time.Minute

// start starts a worker process and waits until it is ready to go. stop it in any case.
func (s *Stage) start(ctx context.Context, first order) (*process, error) {
	if s.config.Child == nil {
		return nil, errors.New("there is no way to start worker processes")
	}
	first.DatabaseURL, first.Queue = s.config.DatabaseURL, s.queue
	p := &process{cmd: s.config.Child(ctx), answers: make(chan message, 16), ended: make(chan struct{})}
	p.cmd.Stderr = &p.complaints
	orders, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.orders, p.say = orders, json.NewEncoder(orders)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a worker process: %w", err)
	}
	go p.listen(out) // until the process ends; stop waits for it
	if err := p.say.Encode(first); err != nil {
		return p, err
	}
	ready, err := p.answer(ctx, "ready")
	p.address = ready.Address
	return p, err
}

// listen takes in what the process says.
func (p *process) listen(out io.Reader) {
	defer close(p.ended)
	for lines := json.NewDecoder(out); ; {
		var m message
		if err := lines.Decode(&m); err != nil {
			return
		}
		if m.Is == "count" {
			p.started.Store(m.Started)
			p.handled.Store(m.Handled)
			continue
		}
		p.answers <- m // has room for more than is ever asked
	}
}

// answer waits for an answer.
func (p *process) answer(ctx context.Context, is string) (message, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return message{}, fmt.Errorf("a worker process does not answer: %w", context.Cause(ctx))
		case m := <-p.answers:
			if m.Is == is {
				return m, nil
			}
		case <-p.ended:
			select {
			case m := <-p.answers: // its last words
				if m.Is == is {
					return m, nil
				}
			default:
				return message{}, errEnded
			}
		}
	}
}

// do sends an order.
func (p *process) do(what string) error {
	return p.say.Encode(order{Do: what})
}

// ask sends an order to report, and returns the report.
func (p *process) ask(ctx context.Context) (message, error) {
	if err := p.do("report"); err != nil {
		return message{}, err
	}
	return p.answer(ctx, "report")
}

// stop ends the process and returns its last report. It is killed when it does not end by itself.
func (p *process) stop(ctx context.Context) (last message, err error) {
	p.orders.Close() //nolint:errcheck // a pipe
	last, err = p.answer(ctx, "end")
	if err != nil {
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	}
	<-p.ended // all was read
	if err = errors.Join(err, p.cmd.Wait()); err != nil {
		if text := strings.TrimSpace(p.complaints.String()); text != "" {
			err = fmt.Errorf("%w: %s", err, text)
		}
	}
	return last, err
}

// gang is several worker processes.
type gang []*process

// startGang starts n worker processes, all ready to go.
func (s *Stage) startGang(ctx context.Context, n int, first order) (gang, error) {
	var g gang
	for range n {
		p, err := s.start(ctx, first)
		if p != nil {
			g = append(g, p)
		}
		if err != nil {
			_, stopErr := g.stop(ctx)
			return nil, errors.Join(err, stopErr)
		}
	}
	return g, nil
}

func (g gang) do(what string) error {
	for _, p := range g {
		if err := p.do(what); err != nil {
			return err
		}
	}
	return nil
}

func (g gang) count() (started, handled int64) {
	for _, p := range g {
		started += p.started.Load()
		handled += p.handled.Load()
	}
	return started, handled
}

// reach waits until the count has reached the goal.
func (g gang) reach(ctx context.Context, goal int64, count func() int64) error {
	ticker := time.NewTicker(countEvery / 2)
	defer ticker.Stop()
	for count() < goal {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d tasks: %w", count(), goal, context.Cause(ctx))
		case <-ticker.C:
		}
		for _, p := range g {
			select {
			case <-p.ended:
				return errEnded
			default:
			}
		}
	}
	return nil
}

// stop ends all processes and returns the CPU time that they have used since go.
func (g gang) stop(ctx context.Context) (cpu time.Duration, err error) {
	var mu sync.Mutex
	var stopping sync.WaitGroup
	for _, p := range g {
		stopping.Go(func() {
			last, stopErr := p.stop(ctx)
			mu.Lock()
			defer mu.Unlock()
			cpu += time.Duration(last.CPU) * time.Microsecond
			err = errors.Join(err, stopErr)
		})
	}
	stopping.Wait()
	return cpu, err
}
