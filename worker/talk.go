package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// maxMessage is the longest line that a child may write, in bytes; the rest of a longer one is dropped.
const maxMessage = 1 << 20

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
	Op           string          `json:"op"` // progress, log, result, error, snooze
	Current      int64           `json:"current"`
	Total        int64           `json:"total"`
	Message      string          `json:"message"` // of progress, log and error
	Data         json.RawMessage `json:"data"`
	Result       json.RawMessage `json:"result"`
	Code         string          `json:"code"`
	Stack        string          `json:"stack"`
	Permanent    bool            `json:"permanent"`
	RetryAfterMS *int64          `json:"retry_after_ms"`
	DelayMS      int64           `json:"delay_ms"`
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
		if err := t.attempt.report(scheduler.Progress{Current: m.Current, Total: m.Total, Message: m.Message, Data: notNull(m.Data)}); err != nil && t.attempt.ctx.Err() == nil {
			t.attempt.log("log", "descriptor 3: "+err.Error())
		}
	case "log":
		t.attempt.log("log", m.Message)
	case "result":
		t.set(func() { t.result = notNull(m.Result) })
	case "error":
		t.set(func() { t.failure = m.failure() })
	case "snooze":
		t.set(func() { t.snooze = Snooze(milliseconds(m.DelayMS)) })
	default:
		t.attempt.log("log", "descriptor 3: unknown op: "+line)
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
	case m.Permanent:
		return Permanent(failure)
	case m.RetryAfterMS != nil:
		return RetryAfter(milliseconds(*m.RetryAfterMS), failure)
	}
	return failure
}

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

// readLines calls line for each line until the end of r. Lines longer than maxMessage are cut.
func readLines(r io.Reader, line func(string)) {
	b := bufio.NewReaderSize(r, 64<<10)
	var long []byte
	for {
		part, err := b.ReadSlice('\n')
		if len(long) < maxMessage {
			long = append(long, part[:min(len(part), maxMessage-len(long))]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			if len(long) > 0 {
				line(strings.TrimRight(string(long), "\r\n"))
			}
			return
		}
		line(strings.TrimRight(string(long), "\r\n"))
		long = long[:0]
	}
}
