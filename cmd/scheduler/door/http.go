package door

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	answerWithin = 30 * time.Second // of a server that is asked for nothing slow
	longestWait  = 25               // seconds of one long poll; proxies often cut at 30 or 60
	maxAnswer    = 256 << 20        // bytes; a page of 500 tasks with the largest payload and result
)

// httpDoor talks to a server.
type httpDoor struct {
	base   *url.URL
	token  string
	client *http.Client
}

// HTTP returns a Door through the server at a URL such as http://127.0.0.1:8080, with or without /v1. token "": none.
func HTTP(server, token string) (Door, error) {
	base, err := url.Parse(server)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not a URL like http://127.0.0.1:8080", server)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("%q is not a URL like http://127.0.0.1:8080", base.Redacted())
	}
	base.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/"), "/v1")
	base.RawQuery, base.Fragment = "", ""
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &httpDoor{base: base, token: token, client: client}, nil
}

func (d *httpDoor) Close() { d.client.CloseIdleConnections() }

// request is one call of the API.
type request struct {
	method string
	path   []string // steps below /v1, not escaped
	query  url.Values
	body   any // nil: none
	wait   int // seconds that the answer may be waited for
}

// call sends a request and decodes what is answered into T.
func call[T any](ctx context.Context, d *httpDoor, r request) (answer T, err error) {
	within := answerWithin + time.Duration(r.wait)*time.Second
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	sent, err := d.build(limited, r)
	if err != nil {
		return answer, err
	}
	response, err := d.client.Do(sent)
	if err != nil {
		return answer, d.unreachable(ctx, err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer, d.unreachable(ctx, err)
	}
	switch {
	case response.StatusCode >= 300:
		return answer, d.refused(response, raw)
	case response.StatusCode == http.StatusNoContent:
		return answer, nil
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return answer, d.stranger(response)
	}
	return answer, nil
}

func (d *httpDoor) build(ctx context.Context, r request) (*http.Request, error) {
	for _, step := range r.path {
		if step == "" || step == "." || step == ".." { // would change what the path means
			return nil, invalid("name", fmt.Sprintf("%q is none", step))
		}
	}
	target := d.base.JoinPath(append([]string{"v1"}, escaped(r.path)...)...)
	target.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	sent, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, err
	}
	sent.Header.Set("Accept", "application/json")
	sent.Header.Set("User-Agent", "scheduler-cli")
	if body != nil {
		sent.Header.Set("Content-Type", "application/json")
	}
	if who := scheduler.Actor(ctx); who != "" {
		sent.Header.Set(httpapi.HeaderActor, who)
	}
	if d.token != "" {
		sent.Header.Set("Authorization", "Bearer "+d.token)
	}
	if parent := scheduler.TraceParent(ctx); parent != "" {
		sent.Header.Set("Traceparent", parent)
	}
	if r.wait > 0 {
		sent.Header.Set("Prefer", "wait="+strconv.Itoa(r.wait))
	}
	return sent, nil
}

func escaped(steps []string) []string {
	out := make([]string, len(steps))
	for i, step := range steps {
		out[i] = url.PathEscape(step)
	}
	return out
}

// unreachable is the error of a call that got no answer, or half of one.
func (d *httpDoor) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which is said already
	}
	return &refusal{class: ErrUnreachable, text: fmt.Sprintf("%s: %v", d.base.Redacted(), err)}
}

func task(id string, verb ...string) []string { return append([]string{"tasks", id}, verb...) }

func (d *httpDoor) Submit(ctx context.Context, submit httpapi.SubmitRequest) (string, error) {
	task, err := call[httpapi.Task](ctx, d, request{method: "POST", path: []string{"tasks"}, body: submit})
	return task.ID, err
}

func (d *httpDoor) Task(ctx context.Context, id string) (httpapi.Task, error) {
	return call[httpapi.Task](ctx, d, request{method: "GET", path: task(id)})
}

func (d *httpDoor) Await(ctx context.Context, id string) (httpapi.Task, error) {
	latest, err := d.Task(ctx, id)
	for err == nil && !latest.Done && ctx.Err() == nil {
		wait := longestWait
		if deadline, limited := ctx.Deadline(); limited {
			wait = min(wait, max(1, int(time.Until(deadline)/time.Second)))
		}
		began := time.Now()
		next, nextErr := call[httpapi.Task](ctx, d, request{method: "GET", path: task(id), wait: wait})
		if nextErr != nil {
			if ctx.Err() != nil {
				return latest, nil
			}
			return latest, nextErr
		}
		latest = next
		if !latest.Done && time.Since(began) < time.Second { // the server does not wait: it is being shut down
			pause(ctx, time.Second)
		}
	}
	return latest, err
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (d *httpDoor) Tasks(ctx context.Context, f Filter) (httpapi.Page[httpapi.Task], error) {
	query := url.Values{}
	for name, value := range map[string]string{"queue": f.Queue, "kind": f.Kind, "state": f.State, "tag": f.Tag, "q": f.Text, "error_group": f.ErrorGroup,
		"created_after": timeText(f.Since), "created_before": timeText(f.Until), "cursor": f.Cursor} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.Limit > 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	return call[httpapi.Page[httpapi.Task]](ctx, d, request{method: "GET", path: []string{"tasks"}, query: query})
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (d *httpDoor) Cancel(ctx context.Context, id, reason string) (httpapi.Task, error) {
	return call[httpapi.Task](ctx, d, request{method: "POST", path: task(id, "cancel"), body: httpapi.CancelRequest{Reason: reason}})
}

func (d *httpDoor) Retry(ctx context.Context, id string) (httpapi.Task, error) {
	return call[httpapi.Task](ctx, d, request{method: "POST", path: task(id, "retry")})
}

func (d *httpDoor) RunNow(ctx context.Context, id string) (httpapi.Task, error) {
	return call[httpapi.Task](ctx, d, request{method: "POST", path: task(id, "run")})
}

func (d *httpDoor) Edit(ctx context.Context, id string, fields map[string]any) (httpapi.Task, error) {
	return call[httpapi.Task](ctx, d, request{method: "PATCH", path: task(id), body: fields})
}

func (d *httpDoor) BeginBulk(ctx context.Context, begin httpapi.BulkRequest) (httpapi.Bulk, error) {
	return call[httpapi.Bulk](ctx, d, request{method: "POST", path: []string{"tasks", "bulk"}, body: begin})
}

func (d *httpDoor) Bulk(ctx context.Context, id string) (httpapi.Bulk, error) {
	return call[httpapi.Bulk](ctx, d, request{method: "GET", path: []string{"bulk", id}})
}

func (d *httpDoor) Dead(ctx context.Context, queue, kind string) (httpapi.DeadGroups, error) {
	query := url.Values{}
	for name, value := range map[string]string{"queue": queue, "kind": kind} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return call[httpapi.DeadGroups](ctx, d, request{method: "GET", path: []string{"dead"}, query: query})
}

func (d *httpDoor) Audit(ctx context.Context, task string, limit int) ([]httpapi.Audit, error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if task != "" {
		query.Set("task", task)
	}
	return items[httpapi.Audit](ctx, d, query, "audit")
}

func (d *httpDoor) Delete(ctx context.Context, id string) error {
	_, err := call[struct{}](ctx, d, request{method: "DELETE", path: task(id)})
	return err
}

// items calls what answers with a list in one page.
func items[T any](ctx context.Context, d *httpDoor, query url.Values, path ...string) ([]T, error) {
	page, err := call[httpapi.Page[T]](ctx, d, request{method: "GET", path: path, query: query})
	return page.Items, err
}

func (d *httpDoor) Attempts(ctx context.Context, id string) ([]httpapi.Attempt, error) {
	return items[httpapi.Attempt](ctx, d, nil, task(id, "attempts")...)
}

func (d *httpDoor) Logs(ctx context.Context, id string, after int64, limit int) ([]httpapi.LogLine, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	return items[httpapi.LogLine](ctx, d, query, task(id, "logs")...)
}

func (d *httpDoor) Why(ctx context.Context, id string) ([]httpapi.Reason, error) {
	return items[httpapi.Reason](ctx, d, nil, task(id, "why")...)
}

func (d *httpDoor) Queues(ctx context.Context) ([]httpapi.Queue, error) {
	return items[httpapi.Queue](ctx, d, nil, "queues")
}

func (d *httpDoor) Minutes(ctx context.Context) ([]httpapi.Stat, error) {
	return items[httpapi.Stat](ctx, d, nil, "stats")
}

func (d *httpDoor) PauseQueue(ctx context.Context, name string) (httpapi.QueuePause, error) {
	return call[httpapi.QueuePause](ctx, d, request{method: "POST", path: []string{"queues", name, "pause"}})
}

func (d *httpDoor) ResumeQueue(ctx context.Context, name string) (httpapi.QueuePause, error) {
	return call[httpapi.QueuePause](ctx, d, request{method: "POST", path: []string{"queues", name, "resume"}})
}

func (d *httpDoor) Workers(ctx context.Context) ([]httpapi.Worker, error) {
	return items[httpapi.Worker](ctx, d, nil, "workers")
}

func (d *httpDoor) Command(ctx context.Context, id, command string) (httpapi.WorkerCommand, error) {
	return call[httpapi.WorkerCommand](ctx, d, request{method: "POST", path: []string{"workers", id, command}})
}

func (d *httpDoor) Schedules(ctx context.Context) ([]httpapi.Schedule, error) {
	return items[httpapi.Schedule](ctx, d, nil, "schedules")
}

func (d *httpDoor) SetSchedule(ctx context.Context, name string, s httpapi.ScheduleRequest) (httpapi.Schedule, error) {
	return call[httpapi.Schedule](ctx, d, request{method: "PUT", path: []string{"schedules", name}, body: s})
}

func (d *httpDoor) Next(ctx context.Context, name string, count int) ([]time.Time, error) {
	return items[time.Time](ctx, d, url.Values{"count": {strconv.Itoa(count)}}, "schedules", name, "next")
}

func (d *httpDoor) Trigger(ctx context.Context, name string) (httpapi.Task, error) {
	return call[httpapi.Task](ctx, d, request{method: "POST", path: []string{"schedules", name, "trigger"}})
}

func (d *httpDoor) PauseSchedule(ctx context.Context, name string) (httpapi.Schedule, error) {
	return call[httpapi.Schedule](ctx, d, request{method: "POST", path: []string{"schedules", name, "pause"}})
}

func (d *httpDoor) ResumeSchedule(ctx context.Context, name string) (httpapi.Schedule, error) {
	return call[httpapi.Schedule](ctx, d, request{method: "POST", path: []string{"schedules", name, "resume"}})
}

func (d *httpDoor) DeleteSchedule(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, d, request{method: "DELETE", path: []string{"schedules", name}})
	return err
}
