package push

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
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// target is where and how an endpoint's tasks are delivered.
type target struct {
	name           string
	url            string
	keys           [][]byte
	timeout        time.Duration
	completeWithin time.Duration
	updatedAt      time.Time
}

// parcel is the body of a delivery.
type parcel struct {
	ID          string          `json:"id"`
	Kind        string          `json:"kind"`
	Queue       string          `json:"queue"`
	Payload     json.RawMessage `json:"payload"`
	Attempt     int             `json:"attempt"`
	Failures    int             `json:"failures"`
	MaxAttempts int             `json:"max_attempts"`
	Priority    int             `json:"priority"`
	RunAt       time.Time       `json:"run_at"`
	CreatedAt   time.Time       `json:"created_at"`
	Schedule    *string         `json:"schedule"`
	TickAt      *time.Time      `json:"tick_at"`
	Topic       *string         `json:"topic"`
	MessageID   *string         `json:"message_id"`
	Checkpoint  json.RawMessage `json:"checkpoint"`
	CompleteMS  int64           `json:"complete_within_ms"` // after an answer of 202
}

func newParcel(to *target, task *worker.Task[json.RawMessage]) parcel {
	p := parcel{ID: task.ID.String(), Kind: task.Kind, Queue: string(task.Queue), Payload: task.Payload, Attempt: task.Attempt,
		Failures: task.Failures, MaxAttempts: task.MaxAttempts, Priority: task.Priority, RunAt: task.RunAt.UTC(), CreatedAt: task.CreatedAt.UTC(),
		Checkpoint: task.Checkpoint, CompleteMS: to.completeWithin.Milliseconds()}
	if task.Schedule != "" {
		p.Schedule = &task.Schedule
	}
	if !task.TickAt.IsZero() {
		tick := task.TickAt.UTC()
		p.TickAt = &tick
	}
	if task.Topic != "" {
		message := strconv.FormatInt(task.MessageID, 10)
		p.Topic, p.MessageID = &task.Topic, &message
	}
	return p
}

const (
	mostBody   = scheduler.MaxPayload // bytes of an answer that are read
	mostHeader = 32 << 10
)

// newClient returns what deliveries are made with.
func newClient(allow allowList) *http.Client {
	return &http.Client{
		Transport: &http.Transport{ // Proxy is not set: none
			DialContext: allow.dialer(), ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: mostHeader,
			HTTP2:              &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 10 * time.Second}, // one that is dead must not take all deliveries
			DisableCompression: true, MaxIdleConnsPerHost: 16, MaxIdleConns: 256, IdleConnTimeout: 4 * time.Second,  // shorter than servers keep them: Apache and Node 5 s
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// deliver posts a task and returns what the endpoint answered. An error: it gave no whole answer.
func (p *Pusher) deliver(ctx context.Context, to *target, task *worker.Task[json.RawMessage]) (*answer, error) {
	body, err := json.Marshal(newParcel(to, task))
	if err != nil {
		return nil, worker.Permanent(worker.WithCode("bad_payload", err))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, to.timeout, errAnswerTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	now := p.client.Now()
	request.Header = http.Header{
		"Content-Type":      {"application/json"},
		"Accept":            {"application/json"},
		"User-Agent":        {p.agent},
		"Webhook-Id":        {task.ID.String()},
		"Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)},
		"Webhook-Signature": {sign(to.keys, task.ID.String(), now, body)},
		"Scheduler-Lease":   {task.Lease().Token()},
	}
	if scheduler.ValidTraceParent(task.TraceParent) { // else whoever wrote the row by hand chooses a header
		request.Header.Set("Traceparent", task.TraceParent)
	}
	response, err := p.http.Do(request)
	if err != nil {
		return nil, noAnswer(ctx, err)
	}
	defer response.Body.Close()
	if response.StatusCode < 200 { // 101: what follows is no answer, and no context ends the reading of it
		return &answer{status: response.StatusCode, header: response.Header}, nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, mostBody+1))
	if err != nil && (response.StatusCode < 300 || ctx.Err() != nil) { // of an error as much counts as came
		return nil, noAnswer(ctx, fmt.Errorf("the answer %s broke off: %w", response.Status, err))
	}
	return &answer{status: response.StatusCode, header: response.Header, body: text}, nil
}

var errAnswerTimeout = errors.New("no whole answer in time")

// noAnswer says why there is none, without the URL, whose query may be nobody's business.
func noAnswer(ctx context.Context, err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	var address *refusedError
	switch {
	case errors.As(err, &address):
		return worker.WithCode("address_refused", address)
	case errors.Is(context.Cause(ctx), errAnswerTimeout):
		return worker.WithCode("timeout", errAnswerTimeout)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return worker.WithCode("no_answer", errors.New(scheduler.CleanText(err.Error(), shownText)))
}
