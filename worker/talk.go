package worker

import (
	"encoding/json"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// childTalk is what a child process says on descriptor 3.
type childTalk struct {
	attempt *attempt

	mu      sync.Mutex
	result  json.RawMessage
	failure error
	snooze  error
	last    string // line on stderr
}

// message is one JSON line of a child. Op chooses the fields that count.
type message struct {
	Op           string          `json:"op"` // progress, log, result, error, snooze; of long-lived children ready and checkpoint too
	ID           string          `json:"id"` // of the task; only of long-lived children
	Current      int64           `json:"current"`
	Total        int64           `json:"total"`
	Message      string          `json:"message"` // of progress, log and error
	Data         json.RawMessage `json:"data"`
	Result       json.RawMessage `json:"result"`
	Code         string          `json:"code"`
	Stack        string          `json:"stack"`
	Permanent    bool            `json:"permanent"`
	Retryable    *bool           `json:"retryable"`
	RetryAfterMS *int64          `json:"retry_after_ms"`
	DelayMS      int64           `json:"delay_ms"`
	Reason       string          `json:"reason"` // of snooze
	Ends         bool            `json:"ends"`   // of result, error and snooze: the process ends now; give it no further task
	Checkpoint   json.RawMessage `json:"checkpoint"`
	V            int             `json:"v"` // this and the rest: of ready
	Kinds        []string        `json:"kinds"`
	Slots        int             `json:"slots"`
	Language     string          `json:"language"`
}

func (t *childTalk) stderr(line string) {
	if strings.TrimSpace(line) != "" {
		t.mu.Lock()
		t.last = scheduler.Truncate(line, 500)
		t.mu.Unlock()
	}
	t.attempt.log("stderr", line)
}

// hear takes in one line. What it can't make sense of goes to the task's log, where the author of the command looks.
func (t *childTalk) hear(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	var m message
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.attempt.log("log", "descriptor 3: not a JSON line ("+err.Error()+"): "+line)
		return
	}
	switch m.Op {
	case "progress":
		t.attempt.heardProgress(m)
	case "log":
		t.attempt.log("log", m.Message)
	case "result":
		t.set(func() { t.result = notNull(m.Result) })
	case "error":
		t.set(func() { t.failure = m.failure() })
	case "snooze":
		t.set(func() { t.snooze = m.snoozed() })
	default:
		t.attempt.log("log", "descriptor 3: unknown op: "+line)
	}
}

// heardProgress takes in a progress frame.
func (a *attempt) heardProgress(m message) {
	err := a.report(scheduler.Progress{Current: m.Current, Total: m.Total, Message: m.Message, Data: notNull(m.Data)})
	if err != nil && a.ctx.Err() == nil {
		a.log("log", "descriptor 3: "+err.Error())
	}
}

func (t *childTalk) set(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
}

func (m message) failure() error {
	failure := &codedError{code: m.Code, message: m.Message, stack: m.Stack}
	if failure.message == "" {
		failure.message = "the command reported an error without a message"
	}
	if failure.code == "" {
		failure.code = "error"
	}
	switch {
	case m.Permanent || m.Retryable != nil && !*m.Retryable:
		return Permanent(failure)
	case m.RetryAfterMS != nil:
		return RetryAfter(milliseconds(*m.RetryAfterMS), failure)
	}
	return failure
}

func (m message) snoozed() error { return &snoozeError{milliseconds(m.DelayMS), m.Reason} }

// milliseconds is a duration of so many, or as many as one can hold.
func milliseconds(n int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(n, 0), most)) * time.Millisecond
}

// notNull turns JSON's null into nil, which is no value at all.
func notNull(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}
