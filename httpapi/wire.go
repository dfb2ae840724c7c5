package httpapi

import (
	"encoding/json"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// Task is a task as it is sent. What is not known is null; nothing is left out.
type Task struct {
	ID              string          `json:"id" format:"uuid" doc:"UUID version 7: ids sort by creation."`
	Kind            string          `json:"kind" doc:"Names the handler."`
	Queue           string          `json:"queue"`
	State           string          `json:"state" enum:"blocked,scheduled,ready,running,completed,failed,cancelled"`
	Done            bool            `json:"done" doc:"The state is final: completed, failed or cancelled."`
	Priority        int             `json:"priority" doc:"Lower runs first."`
	Payload         json.RawMessage `json:"payload" doc:"What the handler is given."`
	Progress        *Progress       `json:"progress" doc:"null: nothing was reported."`
	Result          json.RawMessage `json:"result" doc:"What the handler returned. null unless completed."`
	Error           *TaskError      `json:"error" doc:"Why the last attempt failed, or the task was cancelled."`
	Attempt         int             `json:"attempt" doc:"Leases so far; only grows. 0: never started."`
	Failures        int             `json:"failures" doc:"Failed attempts since submit or the last retry."`
	Crashes         int             `json:"crashes" doc:"Workers lost since submit or the last retry."`
	MaxAttempts     int             `json:"max_attempts" doc:"Failures until the task is failed."`
	RunAt           time.Time       `json:"run_at" doc:"Not started before; moved by retries and snoozes."`
	CreatedAt       time.Time       `json:"created_at"`
	StartedAt       *time.Time      `json:"started_at" doc:"Start of the present or last attempt."`
	FinishedAt      *time.Time      `json:"finished_at"`
	Worker          *TaskWorker     `json:"worker" doc:"Of the present or last attempt."`
	Revision        int64           `json:"revision" doc:"Grows with each change; the ETag."`
	TimeoutMS       *int64          `json:"timeout_ms" doc:"Longest run of one attempt. null: no limit."`
	BackoffMS       []int64         `json:"backoff_ms" nullable:"true" doc:"Wait after the first, second, … failure; the last repeats. null: exponential with jitter."`
	ExpiresAt       *time.Time      `json:"expires_at" doc:"Cancelled when not started by then. null: never."`
	CancelRequested bool            `json:"cancel_requested" doc:"Somebody asked to cancel; a running task ends cancelled unless it completes first."`
	UniqueKey       *string         `json:"unique_key"`
	IdempotencyKey  *string         `json:"idempotency_key"`
	Schedule        *string         `json:"schedule" doc:"Name of the schedule that made the task."`
	TickAt          *time.Time      `json:"tick_at" doc:"The tick of the schedule that the task stands for."`
	Topic           *string         `json:"topic" doc:"Topic of the message that the task was made of. null: it was not published."`
	MessageID       *string         `json:"message_id" doc:"That message, the same for the tasks of all subscriptions."`
	Tags            []string        `json:"tags" nullable:"false" doc:"Words to find the task by, sorted."`
	TraceParent     *string         `json:"traceparent" doc:"The trace that the task belongs to (W3C Trace Context), as the submit had it."`
	Links           TaskLinks       `json:"links"`
}

// Progress is the last report of a task.
type Progress struct {
	Current int64           `json:"current" doc:"Units done."`
	Total   *int64          `json:"total" doc:"Units in all. null: unknown."`
	Percent *float64        `json:"percent" minimum:"0" maximum:"100" doc:"0 to 100 with one decimal. null: the total is unknown."`
	Message *string         `json:"message"`
	Data    json.RawMessage `json:"data" doc:"Whatever else the handler reported."`
	At      *time.Time      `json:"at"`
}

// TaskError is why an attempt failed or a task was cancelled.
type TaskError struct {
	Code    string `json:"code" doc:"One word: error, panic, timeout, worker_lost, expired, cancelled, …"`
	Message string `json:"message"`
}

// TaskWorker is the worker of an attempt.
type TaskWorker struct {
	ID   string  `json:"id" format:"uuid"`
	Name *string `json:"name" doc:"null: the worker is gone."`
}

// TaskLinks are the paths of a task.
type TaskLinks struct {
	Self     string `json:"self"`
	Cancel   string `json:"cancel"`
	Retry    string `json:"retry"`
	Run      string `json:"run"`
	Attempts string `json:"attempts"`
	Logs     string `json:"logs"`
	Why      string `json:"why"`
	Watch    string `json:"watch,omitempty" doc:"For a browser without a token, see watch. Only in the answer to a submit that asked for it."`
}

// Attempt is one lease of a task.
type Attempt struct {
	Attempt    int        `json:"attempt"`
	Outcome    string     `json:"outcome" enum:"running,completed,failed,snoozed,released,crashed,cancelled"`
	Worker     TaskWorker `json:"worker"`
	StartedAt  time.Time  `json:"started_at"`
	EndedAt    *time.Time `json:"ended_at" doc:"For crashed: when the loss was noticed."`
	DurationMS *int64     `json:"duration_ms" doc:"null: it runs."`
	Error      *TaskError `json:"error"`
	Stack      *string    `json:"stack" doc:"Stack of a panic, or what the handler attached."`
}

// LogLine is one line that a handler wrote.
type LogLine struct {
	ID      int64     `json:"id" doc:"Grows within a task."`
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Stream  string    `json:"stream" enum:"log,stdout,stderr"`
	Message string    `json:"message"`
}

// Reason is why a task does not run, or that it does.
type Reason struct {
	Code   string  `json:"code" doc:"Stable, for programs."`
	Reason string  `json:"reason" doc:"A sentence."`
	Fix    *string `json:"fix" doc:"A command or advice."`
}

// Queue is a queue with its counts. A count of 10000 means that many or more.
type Queue struct {
	Name          string     `json:"name"`
	Paused        bool       `json:"paused"`
	PausedAt      *time.Time `json:"paused_at"`
	Ready         int        `json:"ready"`
	Scheduled     int        `json:"scheduled"`
	Running       int        `json:"running"`
	Failed        int        `json:"failed"`
	Workers       int        `json:"workers" doc:"Live ones that take from it."`
	Slots         int        `json:"slots" doc:"Of those workers, shared with their other queues."`
	OldestReadyMS *int64     `json:"oldest_ready_ms" doc:"How long the oldest ready task has been due. null: none is ready."`
	Links         QueueLinks `json:"links"`
}

// QueueLinks are the paths of a queue.
type QueueLinks struct {
	Tasks  string `json:"tasks"`
	Pause  string `json:"pause"`
	Resume string `json:"resume"`
}

// Worker is a worker process.
type Worker struct {
	ID          string      `json:"id" format:"uuid"`
	Name        string      `json:"name"`
	Host        string      `json:"host"`
	PID         int         `json:"pid"`
	Version     string      `json:"version"`
	Language    string      `json:"language" doc:"What its handlers are written in; empty: it did not say."`
	MemoryBytes *int64      `json:"memory_bytes" doc:"That it held at its last heartbeat; null: it did not say."`
	Queues      []string    `json:"queues" nullable:"false"`
	Kinds       []string    `json:"kinds" nullable:"false"`
	Slots       int         `json:"slots"`
	Running     int         `json:"running" doc:"Tasks at its last heartbeat."`
	Command     string      `json:"command" enum:"run,quiet,stop" doc:"What it was told to do."`
	TTLMS       int64       `json:"ttl_ms" doc:"Of silence until it is dead and its tasks are given back."`
	StartedAt   time.Time   `json:"started_at"`
	SeenAt      time.Time   `json:"seen_at"`
	Live        bool        `json:"live"`
	Links       WorkerLinks `json:"links"`
}

// WorkerLinks are the paths of a worker.
type WorkerLinks struct {
	Quiet string `json:"quiet"`
	Stop  string `json:"stop"`
	Run   string `json:"run"`
}

// Schedule makes a task at each tick of a cron expression.
type Schedule struct {
	Name        string          `json:"name"`
	Expression  string          `json:"expression"`
	Zone        string          `json:"zone"`
	Kind        string          `json:"kind"`
	Payload     json.RawMessage `json:"payload"`
	Queue       string          `json:"queue"`
	Priority    int             `json:"priority"`
	MaxAttempts int             `json:"max_attempts"`
	TimeoutMS   *int64          `json:"timeout_ms"`
	BackoffMS   []int64         `json:"backoff_ms" nullable:"true"`
	Paused      bool            `json:"paused"`
	PausedAt    *time.Time      `json:"paused_at"`
	NextRunAt   *time.Time      `json:"next_run_at"`
	LastRunAt   *time.Time      `json:"last_run_at" doc:"The last tick that made a task."`
	Error       *string         `json:"error" doc:"Why it can't fire."`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	Links       ScheduleLinks   `json:"links"`
}

// ScheduleLinks are the paths of a schedule.
type ScheduleLinks struct {
	Self    string `json:"self"`
	Next    string `json:"next"`
	Trigger string `json:"trigger"`
	Pause   string `json:"pause"`
	Resume  string `json:"resume"`
}

// Page is a part of a list.
type Page[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor to get the next page. null: this is the last."`
}

// output is an answer that is no more than its body.
type output[T any] struct{ Body T }

// NewTask returns the wire form of a task.
func NewTask(t scheduler.Task) Task {
	self := "/v1/tasks/" + t.ID.String()
	task := Task{
		ID: t.ID.String(), Kind: t.Kind, Queue: string(t.Queue), State: string(t.State), Done: t.State.Done(), Priority: t.Priority,
		Payload: t.Payload, Progress: newProgress(t), Result: t.Result, Error: newTaskError(t.ErrorCode, t.Error),
		Attempt: t.Attempt, Failures: t.Failures, Crashes: t.Crashes, MaxAttempts: t.MaxAttempts,
		RunAt: t.RunAt.UTC(), CreatedAt: t.CreatedAt.UTC(), StartedAt: utc(t.StartedAt), FinishedAt: utc(t.FinishedAt),
		Revision: t.Revision, TimeoutMS: t.TimeoutMS, BackoffMS: t.BackoffMS, ExpiresAt: utc(t.ExpiresAt),
		CancelRequested: t.CancelRequestedAt != nil, UniqueKey: t.UniqueKey, IdempotencyKey: t.IdempotencyKey,
		Schedule: t.Schedule, TickAt: utc(t.TickAt), Topic: t.Topic, MessageID: decimal(t.MessageID), Tags: append([]string{}, t.Tags...), TraceParent: t.TraceParent,
		Links: TaskLinks{Self: self, Cancel: self + "/cancel", Retry: self + "/retry", Run: self + "/run", Attempts: self + "/attempts",
			Logs: self + "/logs", Why: self + "/why"},
	}
	if t.WorkerID != nil {
		task.Worker = &TaskWorker{ID: t.WorkerID.String(), Name: t.Worker}
	}
	return task
}

func newProgress(t scheduler.Task) *Progress {
	if t.ProgressAt == nil && t.ProgressCurrent == nil {
		return nil
	}
	p := Progress{Total: t.ProgressTotal, Message: t.ProgressMessage, Data: t.ProgressData, At: utc(t.ProgressAt)}
	if t.ProgressCurrent != nil {
		p.Current = *t.ProgressCurrent
	}
	if p.Total != nil && *p.Total > 0 {
		percent := math.Round(1000*float64(p.Current)/float64(*p.Total)) / 10
		percent = min(100, max(0, percent))
		p.Percent = &percent
	}
	return &p
}

func newTaskError(code, message *string) *TaskError {
	if code == nil && message == nil {
		return nil
	}
	var e TaskError
	if code != nil {
		e.Code = *code
	}
	if message != nil {
		e.Message = *message
	}
	return &e
}

// NewAttempt returns the wire form of an attempt.
func NewAttempt(a scheduler.Attempt) Attempt {
	attempt := Attempt{Attempt: a.Attempt, Outcome: a.Outcome, Worker: TaskWorker{ID: a.WorkerID.String(), Name: a.Worker},
		StartedAt: a.StartedAt.UTC(), EndedAt: utc(a.EndedAt), Error: newTaskError(a.ErrorCode, a.Error), Stack: a.Stack}
	if a.EndedAt != nil {
		ms := a.EndedAt.Sub(a.StartedAt).Milliseconds()
		attempt.DurationMS = &ms
	}
	return attempt
}

// NewLogLine returns the wire form of a log line.
func NewLogLine(l scheduler.LogLine) LogLine {
	return LogLine{ID: l.ID, Attempt: l.Attempt, At: l.At.UTC(), Stream: l.Stream, Message: l.Message}
}

// NewReason returns the wire form of a reason.
func NewReason(r scheduler.Reason) Reason {
	reason := Reason{Code: r.Code, Reason: r.Reason}
	if r.Fix != "" {
		reason.Fix = &r.Fix
	}
	return reason
}

// NewQueue returns the wire form of a queue.
func NewQueue(q scheduler.QueueStatus) Queue {
	self := "/v1/queues/" + url.PathEscape(string(q.Name))
	return Queue{Name: string(q.Name), Paused: q.PausedAt != nil, PausedAt: utc(q.PausedAt), Ready: q.Ready, Scheduled: q.Scheduled,
		Running: q.Running, Failed: q.Failed, Workers: q.Workers, Slots: q.Slots, OldestReadyMS: q.OldestReadyMS,
		Links: QueueLinks{Tasks: "/v1/tasks?queue=" + url.QueryEscape(string(q.Name)), Pause: self + "/pause", Resume: self + "/resume"}}
}

// NewWorker returns the wire form of a worker.
func NewWorker(w scheduler.Worker) Worker {
	self := "/v1/workers/" + w.ID.String()
	queues, kinds := make([]string, len(w.Queues)), make([]string, 0, len(w.Kinds))
	for i, queue := range w.Queues {
		queues[i] = string(queue)
	}
	return Worker{ID: w.ID.String(), Name: w.Name, Host: w.Host, PID: w.PID, Version: w.Version,
		Language: w.Language, MemoryBytes: w.MemoryBytes, Queues: queues,
		Kinds: append(kinds, w.Kinds...), Slots: w.Slots, Running: w.Running, Command: string(w.Command), TTLMS: w.TTLMS,
		StartedAt: w.StartedAt.UTC(), SeenAt: w.SeenAt.UTC(), Live: w.Live,
		Links: WorkerLinks{Quiet: self + "/quiet", Stop: self + "/stop", Run: self + "/run"}}
}

// NewSchedule returns the wire form of a schedule.
func NewSchedule(s scheduler.Schedule) Schedule {
	self := "/v1/schedules/" + url.PathEscape(s.Name)
	return Schedule{Name: s.Name, Expression: s.Expression, Zone: s.Zone, Kind: s.Kind, Payload: s.Payload, Queue: string(s.Queue),
		Priority: s.Priority, MaxAttempts: s.MaxAttempts, TimeoutMS: s.TimeoutMS, BackoffMS: s.BackoffMS,
		Paused: s.PausedAt != nil, PausedAt: utc(s.PausedAt), NextRunAt: utc(s.NextRunAt), LastRunAt: utc(s.LastRunAt), Error: s.Error,
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
		Links: ScheduleLinks{Self: self, Next: self + "/next", Trigger: self + "/trigger", Pause: self + "/pause", Resume: self + "/resume"}}
}

// decimal is a number as a string, which JavaScript can hold.
func decimal(n *int64) *string {
	if n == nil {
		return nil
	}
	text := strconv.FormatInt(*n, 10)
	return &text
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
