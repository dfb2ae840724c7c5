//go:build unix

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// leaser is a worker that speaks HTTP leases, one task at a time.
type leaser struct {
	url, token, id string
	queues         []string
	ttl            int64

	mu     sync.Mutex
	lease  string // held; empty: none
	cancel context.CancelCauseFunc
	state  string // the last that the server told: run, quiet, stop
}

type leased struct {
	Worker struct {
		State string `json:"state"`
	} `json:"worker"`
	Leases []struct {
		Lease string   `json:"lease"`
		Task  wireTask `json:"task"`
	} `json:"leases"`
}

// serveLeases works until SIGTERM, or until the server tells it to stop.
func serveLeases(ctx context.Context) error {
	ttl, err := strconv.ParseInt(os.Getenv("TTL_MS"), 10, 64)
	if err != nil {
		ttl = 60000
	}
	w := &leaser{url: os.Getenv("SCHEDULER_URL"), token: os.Getenv("SCHEDULER_TOKEN"), id: newUUID(), ttl: ttl,
		queues: strings.Split(os.Getenv("QUEUES"), ",")}
	free := context.WithoutCancel(ctx)
	beating, end := context.WithCancel(free)
	var beats sync.WaitGroup
	beats.Go(func() { w.beat(beating) })
	for ctx.Err() == nil {
		var answer leased
		err := w.call(ctx, "POST", "/v1/leases", "wait=20", map[string]any{"worker": map[string]any{"id": w.id, "name": "reference", "slots": 1, "pid": os.Getpid(),
			"language": language}, "queues": w.queues, "kinds": kindNames(), "max": 1, "ttl_ms": w.ttl, "held": []string{}}, &answer)
		if err != nil && ctx.Err() == nil {
			end()
			return err
		}
		for _, l := range answer.Leases {
			w.run(free, l.Lease, l.Task)
		}
		if answer.Worker.State == "stop" || w.told() == "stop" {
			break
		}
		if answer.Worker.State == "quiet" {
			pause(ctx, time.Second)
		}
	}
	end()
	beats.Wait()
	return w.call(free, "DELETE", "/v1/workers/"+w.id, "", nil, nil)
}

func (w *leaser) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// refusal is an answer of the server that no repetition changes.
type refusal struct {
	status int
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.status, r.Code, r.Detail) }

// call repeats a request until it is answered; all that a worker sends may be repeated.
func (w *leaser) call(ctx context.Context, method, path, prefer string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	for {
		err := w.once(ctx, method, path, prefer, text, into)
		var refused *refusal
		if err == nil || ctx.Err() != nil || errors.As(err, &refused) && refused.status < 500 {
			return err
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (w *leaser) once(ctx context.Context, method, path, prefer string, text []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, w.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+w.token)
	request.Header.Set("Content-Type", "application/json")
	if prefer != "" {
		request.Header.Set("Prefer", prefer)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		refused := &refusal{status: response.StatusCode}
		_ = json.Unmarshal(answer, refused) // it may be no JSON
		return refused
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// beat keeps the lease alive, and hears what became of it.
func (w *leaser) beat(ctx context.Context) {
	for pause(ctx, time.Duration(w.ttl)*time.Millisecond/3); ctx.Err() == nil; pause(ctx, time.Duration(w.ttl)*time.Millisecond/3) {
		w.mu.Lock()
		held, cancel := w.lease, w.cancel
		w.mu.Unlock()
		leases := []string{}
		if held != "" {
			leases = append(leases, held)
		}
		var answer struct {
			State           string
			Cancelled, Lost []string
		}
		if err := w.call(ctx, "POST", "/v1/workers/"+w.id+"/heartbeat", "", map[string]any{"leases": leases}, &answer); err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		w.mu.Lock()
		w.state = answer.State
		w.mu.Unlock()
		if len(answer.Lost) > 0 {
			cancel(errLost)
		} else if len(answer.Cancelled) > 0 {
			cancel(errCancelled)
		}
	}
}

// run does a task and says how it ended.
func (w *leaser) run(ctx context.Context, lease string, task wireTask) {
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.hold(lease, cancel)
	out := handle(working, task, &lessee{w, working, lease})
	defer w.hold("", nil)
	if errors.Is(context.Cause(working), errLost) {
		return
	}
	verb, body := out.request()
	err := w.call(ctx, "POST", "/v1/leases/"+lease+"/"+verb, "", body, nil)
	var refused *refusal
	if errors.As(err, &refused) && refused.Code != "lease_lost" { // what it says can't be stored
		err = w.call(ctx, "POST", "/v1/leases/"+lease+"/fail", "", map[string]any{"retryable": false,
			"error": map[string]any{"code": "bad_result", "message": refused.Error()}}, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func (w *leaser) hold(lease string, cancel context.CancelCauseFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lease, w.cancel = lease, cancel
}

func (o outcome) request() (verb string, body map[string]any) {
	switch {
	case o.snooze != nil:
		return "release", map[string]any{"delay_ms": *o.snooze}
	case o.failure != nil:
		body = map[string]any{"retryable": !o.failure.permanent,
			"error": map[string]any{"code": o.failure.code, "message": o.failure.message, "stack": o.failure.stack}}
		if o.failure.retryAfter != nil {
			body["retry_after_ms"] = *o.failure.retryAfter
		}
		return "fail", body
	}
	return "complete", map[string]any{"result": o.result}
}

// lessee tells the server what a handler says.
type lessee struct {
	worker *leaser
	ctx    context.Context
	lease  string
}

func (l *lessee) tell(body map[string]any) error {
	return l.worker.call(l.ctx, "POST", "/v1/leases/"+l.lease+"/heartbeat", "", body, nil)
}

func (l *lessee) progress(current, total int, message string) error {
	return l.tell(map[string]any{"progress": map[string]any{"current": current, "total": total, "message": message}})
}

func (l *lessee) log(stream, message string) error {
	return l.tell(map[string]any{"logs": []any{map[string]any{"stream": stream, "message": message}}})
}

func (l *lessee) checkpoint(value any) error { return l.tell(map[string]any{"checkpoint": value}) }

// pause waits, or less when the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
