package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/load/self"
	"github.com/pgscheduler/scheduler/scheduler"
)

// benchServe serves the API on a port of this machine.
func (a *app) benchServe(ctx context.Context, client *scheduler.Client) (address string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	logger := a.warnings()
	handler, err := httpapi.New(client, httpapi.Config{Version: version().Version, Logger: logger})
	if err != nil {
		listener.Close()
		return "", nil, err
	}
	life, end := context.WithCancel(ctx)
	var serving sync.WaitGroup
	serving.Go(func() { // until stop, which waits for it
		_ = httpapi.Serve(life, listener, handler, logger) // a submit tells what is wrong
	})
	return listener.Addr().String(), func() { end(); serving.Wait() }, nil
}

// benchHTTP serves the API and returns how to submit through it, on connections that are kept.
func (a *app) benchHTTP(ctx context.Context, client *scheduler.Client) (self.SubmitFunc, func(), error) {
	address, end, err := a.benchServe(ctx, client)
	if err != nil {
		return nil, nil, err
	}
	clients := &posters{address: address}
	return clients.post, func() { clients.close(); end() }, nil
}

// posters submit by HTTP on kept connections, as many as there are callers. They write requests and read answers by themselves,
// as wrk and its like do: a benchmark should measure the server, and net/http's client costs as much as that. Safe for
// concurrent use.
type posters struct {
	address string
	mu      sync.Mutex
	idle    []*poster
}

// post submits kind, queue and payload of a task.
func (p *posters) post(ctx context.Context, task scheduler.NewTask) error {
	body, err := json.Marshal(struct {
		Kind    string          `json:"kind"`
		Queue   scheduler.Queue `json:"queue"`
		Payload any             `json:"payload"`
	}{task.Kind, task.Queue, task.Payload})
	if err != nil {
		return err
	}
	its, err := p.take(ctx)
	if err != nil {
		return err
	}
	if err := its.post(ctx, p.address, body); err != nil {
		return errors.Join(fmt.Errorf("submit: %w", err), its.conn.Close())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, its)
	return nil
}

// take returns a connection that nobody uses.
func (p *posters) take(ctx context.Context) (*poster, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		defer p.mu.Unlock()
		its := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return its, nil
	}
	p.mu.Unlock()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	return &poster{conn: conn, in: bufio.NewReader(conn)}, nil
}

func (p *posters) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, its := range p.idle {
		_ = its.conn.Close() // nothing is under way
	}
	p.idle = nil
}

// poster is one connection.
type poster struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

// post sends a body and reads the answer to its end.
func (p *poster) post(ctx context.Context, host string, body []byte) error {
	deadline, _ := ctx.Deadline() // zero: none
	if err := p.conn.SetDeadline(deadline); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })()
	p.out = fmt.Appendf(p.out[:0], "POST /v1/tasks HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		host, len(body), body)
	if _, err := p.conn.Write(p.out); err != nil {
		return err
	}
	status, length := "", int64(-1)
	for first := true; ; first = false {
		line, err := p.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first {
			status = string(line)
			continue
		}
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("%s, of unknown length", status)
	}
	if status != "HTTP/1.1 202 Accepted" {
		answer, err := io.ReadAll(io.LimitReader(p.in, length))
		return errors.Join(fmt.Errorf("%s: %s", status, answer), err)
	}
	_, err := p.in.Discard(int(length))
	return err
}
