package httpapi

import (
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// LeaseRequest is the body that asks for tasks. Only Kinds is needed.
type LeaseRequest struct {
	Worker *RemoteWorker `json:"worker,omitempty" doc:"Who asks. Default: somebody new, who gets an id by the answer"`
	Queues []string      `json:"queues,omitempty" minItems:"1" maxItems:"64" nullable:"false" doc:"Taken from in this order. Default: [\"default\"]"`
	Kinds  []string      `json:"kinds" minItems:"1" maxItems:"500" nullable:"false" doc:"What it can run; it gets no other"`
	Max    *int          `json:"max,omitempty" minimum:"1" maximum:"500" doc:"Tasks at most. Default: 1"`
	TTLMS  *int64        `json:"ttl_ms,omitempty" minimum:"5000" maximum:"86400000" doc:"Of silence until it is dead and its tasks are given back. Default: 60000"`
	Held   []string      `json:"held,omitempty" maxItems:"10000" nullable:"false" doc:"All leases that it still has: what it leased more than 10 s ago and does not name is handed back. Default: nothing is"`
}

// RemoteWorker is what a worker says of itself.
type RemoteWorker struct {
	ID       string `json:"id,omitempty" format:"uuid" doc:"Random, fresh at each start. Default: the server makes one"`
	Name     string `json:"name,omitempty" maxLength:"200" doc:"For people" example:"web-7:4312"`
	Host     string `json:"host,omitempty" maxLength:"200"`
	PID      int    `json:"pid,omitempty" minimum:"0" maximum:"2147483647"`
	Version  string `json:"version,omitempty" maxLength:"100"`
	Language string `json:"language,omitempty" maxLength:"100" example:"php 8.2"`
	Slots    int    `json:"slots,omitempty" minimum:"0" maximum:"10000" doc:"Tasks that it runs at once. Default: max"`
}

// Leases is the answer to a call for tasks.
type Leases struct {
	Worker LeasingWorker `json:"worker"`
	Leases []Leased      `json:"leases" nullable:"false"`
}

// LeasingWorker is a worker and what it is asked to do.
type LeasingWorker struct {
	ID        string    `json:"id" format:"uuid"`
	State     string    `json:"state" enum:"run,quiet,stop" doc:"quiet: it gets nothing. stop: finish what runs, then end."`
	TTLMS     int64     `json:"ttl_ms"`
	ExpiresAt time.Time `json:"expires_at" doc:"When it is dead, and its leases are lost, unless it is heard of."`
}

// Leased is the right to one attempt of a task.
type Leased struct {
	Lease     string     `json:"lease" doc:"Opaque. Dies with the attempt."`
	ExpiresAt time.Time  `json:"expires_at" doc:"As the worker's."`
	Task      LeasedTask `json:"task"`
}

// LeasedTask is a task as its worker gets it.
type LeasedTask scheduler.WireTask

func newLeases(worker scheduler.WorkerInfo, got scheduler.Polled) Leases {
	out := Leases{Worker: LeasingWorker{ID: worker.ID.String(), State: string(got.Command), TTLMS: worker.TTL.Milliseconds(), ExpiresAt: got.ExpiresAt.UTC()},
		Leases: make([]Leased, len(got.Tasks))}
	for i, task := range got.Tasks {
		out.Leases[i] = Leased{Lease: task.Token(), ExpiresAt: got.ExpiresAt.UTC(), Task: LeasedTask(task.Wire())}
	}
	return out
}

// BeatRequest is the body of a worker's heartbeat.
type BeatRequest struct {
	Leases      []string `json:"leases,omitempty" maxItems:"10000" nullable:"false" doc:"All that it holds. Default: nothing"`
	MemoryBytes *int64   `json:"memory_bytes,omitempty" minimum:"0" doc:"That it holds"`
}

// Beat is the answer to a worker's heartbeat.
type Beat struct {
	State     string     `json:"state" enum:"run,quiet,stop"`
	ExpiresAt *time.Time `json:"expires_at" doc:"When the worker is dead, and its leases are lost, unless it is heard of. null: it is, or was never known."`
	Cancelled []string   `json:"cancelled" nullable:"false" doc:"Leases whose tasks somebody asked to cancel: end them soon, with fail."`
	Lost      []string   `json:"lost" nullable:"false" doc:"Leases that are over: stop the work, nothing of it is taken any more."`
}

// ProgressReport is how far a task is, as its worker says.
type ProgressReport struct {
	Current int64           `json:"current,omitempty" doc:"Units done"`
	Total   *int64          `json:"total,omitempty" doc:"Units in all. Default: unknown"`
	Message string          `json:"message,omitempty" doc:"For people, cut to 8 KiB"`
	Data    json.RawMessage `json:"data,omitempty" doc:"Anything else, at most 262144 bytes"`
}

// LogEntry is a line that a handler wrote.
type LogEntry struct {
	Message string `json:"message"`
	Stream  string `json:"stream,omitempty"`
}

// UnmarshalJSON takes an object, or a string: its message.
func (l *LogEntry) UnmarshalJSON(raw []byte) error {
	if raw[0] == '"' {
		return json.Unmarshal(raw, &l.Message)
	}
	type plain LogEntry
	return json.Unmarshal(raw, (*plain)(l))
}

// Schema says the same.
func (LogEntry) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString, Description: "Cut to 8 KiB"}
	object := &huma.Schema{Type: huma.TypeObject, Required: []string{"message"}, AdditionalProperties: false, Properties: map[string]*huma.Schema{
		"message": text, "stream": {Type: huma.TypeString, Enum: []any{"log", "stdout", "stderr"}, Description: "Default: log"}}}
	line := &huma.Schema{OneOf: []*huma.Schema{text, object}, Description: "A line, or a line and its stream"}
	for _, schema := range []*huma.Schema{text, object, object.Properties["stream"], line} {
		schema.PrecomputeMessages()
	}
	return line
}

// LeaseHeartbeatRequest is the body of a heartbeat of one lease.
type LeaseHeartbeatRequest struct {
	Progress   *ProgressReport `json:"progress,omitempty"`
	Logs       []LogEntry      `json:"logs,omitempty" maxItems:"1000" nullable:"false" doc:"In order"`
	Checkpoint json.RawMessage `json:"checkpoint,omitempty" doc:"What the next attempt is given, should this one not end well; at most 262144 bytes. null: forget it. Default: as it was"`
}

// CompleteRequest is the body that completes a task.
type CompleteRequest struct {
	Result   json.RawMessage `json:"result,omitempty" doc:"Any JSON of at most 262144 bytes. Default: null"`
	Progress *ProgressReport `json:"progress,omitempty"`
	Logs     []LogEntry      `json:"logs,omitempty" maxItems:"1000" nullable:"false" doc:"In order"`
}

// FailRequest is the body that fails an attempt.
type FailRequest struct {
	Error        *LeaseError     `json:"error,omitempty"`
	Retryable    *bool           `json:"retryable,omitempty" doc:"false: never again. Default: true"`
	RetryAfterMS *int64          `json:"retry_after_ms,omitempty" minimum:"0" doc:"Instead of the task's backoff, up to a year"`
	Progress     *ProgressReport `json:"progress,omitempty"`
	Logs         []LogEntry      `json:"logs,omitempty" maxItems:"1000" nullable:"false" doc:"In order"`
	Checkpoint   json.RawMessage `json:"checkpoint,omitempty" doc:"As of a heartbeat"`
}

// LeaseError is why an attempt failed.
type LeaseError struct {
	Code    string `json:"code,omitempty" doc:"One word, cut to 64 bytes. Default: error"`
	Message string `json:"message,omitempty" doc:"For people, cut to 64 KiB"`
	Stack   string `json:"stack,omitempty" doc:"Cut to 64 KiB"`
}

// ReleaseRequest is the body that hands a task back.
type ReleaseRequest struct {
	DelayMS    *int64          `json:"delay_ms,omitempty" minimum:"0" doc:"Run it again after so long, up to a year. Default: as soon as somebody is free"`
	Reason     string          `json:"reason,omitempty" doc:"For people, in the task's attempts, cut to 1,000 bytes"`
	Progress   *ProgressReport `json:"progress,omitempty"`
	Logs       []LogEntry      `json:"logs,omitempty" maxItems:"1000" nullable:"false" doc:"In order"`
	Checkpoint json.RawMessage `json:"checkpoint,omitempty" doc:"As of a heartbeat"`
}

// LeaseHeartbeat is the answer to a heartbeat of one lease.
type LeaseHeartbeat struct {
	State     string    `json:"state" enum:"run,quiet,stop" doc:"What the worker is asked to do."`
	Cancelled bool      `json:"cancelled" doc:"Somebody asked to cancel the task: end it soon, with fail."`
	ExpiresAt time.Time `json:"expires_at" doc:"When the worker is dead, and its leases are lost, unless it is heard of. After an endpoint's 202: when its time is over, whatever is heard."`
}

// Settled is the answer to the end of an attempt.
type Settled struct {
	State string `json:"state" enum:"completed,scheduled,ready,failed,cancelled" doc:"What the task became."`
}
