package scheduler

import (
	"encoding/json"
	"strconv"
	"time"
)

// WireTask is a leased task as workers of other languages get it, over HTTP and as a child process alike. Every field is always
// there; null says that a task has none. The tags are also what the OpenAPI document says of it.
type WireTask struct {
	ID          string          `json:"id" format:"uuid"`
	Queue       Queue           `json:"queue"`
	Kind        string          `json:"kind"`
	Payload     json.RawMessage `json:"payload"`
	Attempt     int             `json:"attempt" doc:"Leases so far, this one among them."`
	Failures    int             `json:"failures" doc:"Before this attempt."`
	MaxAttempts int             `json:"max_attempts" doc:"Failures until the task is failed."`
	Priority    int             `json:"priority"`
	TimeoutMS   *int64          `json:"timeout_ms" doc:"End the attempt by then; 5 s later the server does. null: no limit."`
	RunAt       time.Time       `json:"run_at"`
	CreatedAt   time.Time       `json:"created_at"`
	Schedule    *string         `json:"schedule"`
	TickAt      *time.Time      `json:"tick_at"`
	TraceParent *string         `json:"traceparent" doc:"The trace that it belongs to (W3C Trace Context)."`
	Topic       *string         `json:"topic" doc:"It was published under. null: it was submitted."`
	MessageID   *string         `json:"message_id" doc:"Of the message that made it. null: none did."`
	Checkpoint  json.RawMessage `json:"checkpoint" doc:"What an earlier attempt stored. null: nothing."`
}

// Wire returns the task's wire form.
func (t LeasedTask) Wire() WireTask {
	wire := WireTask{ID: t.Task.String(), Queue: t.Queue, Kind: t.Kind, Payload: t.Payload, Attempt: t.Attempt, Failures: t.Failures,
		MaxAttempts: t.MaxAttempts, Priority: t.Priority, RunAt: t.RunAt.UTC(), CreatedAt: t.CreatedAt.UTC(), Checkpoint: t.Checkpoint}
	if t.Timeout > 0 {
		ms := t.Timeout.Milliseconds()
		wire.TimeoutMS = &ms
	}
	if t.Schedule != "" {
		wire.Schedule = &t.Schedule
	}
	if !t.TickAt.IsZero() {
		at := t.TickAt.UTC()
		wire.TickAt = &at
	}
	if t.TraceParent != "" {
		wire.TraceParent = &t.TraceParent
	}
	if t.Topic != "" {
		message := strconv.FormatInt(t.MessageID, 10)
		wire.Topic, wire.MessageID = &t.Topic, &message
	}
	return wire
}
