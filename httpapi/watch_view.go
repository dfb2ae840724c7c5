package httpapi

import (
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// WatchedTask is a task as strangers may see it: how far it is and how it ended. Payload, result, log, worker, kind, queue,
// keys, stacks and what errors say never leave by a watch URL.
type WatchedTask struct {
	ID         string           `json:"id" format:"uuid"`
	State      string           `json:"state" enum:"blocked,scheduled,ready,running,completed,failed,cancelled"`
	Done       bool             `json:"done" doc:"The state is final: completed, failed or cancelled."`
	Progress   *WatchedProgress `json:"progress" doc:"null: nothing was reported."`
	Error      *TaskError       `json:"error" doc:"Why the last attempt failed, or the task was cancelled: the code, and a sentence that stands for it."`
	RunAt      time.Time        `json:"run_at"`
	CreatedAt  time.Time        `json:"created_at"`
	StartedAt  *time.Time       `json:"started_at"`
	FinishedAt *time.Time       `json:"finished_at"`
	Revision   int64            `json:"revision" doc:"Grows with each change; the ETag."`
}

// WatchedProgress is the last report, without its data.
type WatchedProgress struct {
	Current int64      `json:"current" doc:"Units done."`
	Total   *int64     `json:"total" doc:"Units in all. null: unknown."`
	Percent *float64   `json:"percent" minimum:"0" maximum:"100" doc:"0 to 100 with one decimal. null: the total is unknown."`
	Message *string    `json:"message" doc:"What the handler says to people."`
	At      *time.Time `json:"at"`
}

// NewWatchedTask returns what strangers may see of a task.
func NewWatchedTask(t scheduler.Task) WatchedTask {
	task := WatchedTask{ID: t.ID.String(), State: string(t.State), Done: t.State.Done(), RunAt: t.RunAt.UTC(), CreatedAt: t.CreatedAt.UTC(),
		StartedAt: utc(t.StartedAt), FinishedAt: utc(t.FinishedAt), Revision: t.Revision}
	if p := newProgress(t); p != nil {
		task.Progress = &WatchedProgress{Current: p.Current, Total: p.Total, Percent: p.Percent, Message: p.Message, At: p.At}
	}
	if t.ErrorCode != nil && t.State != scheduler.Completed {
		task.Error = &TaskError{Code: *t.ErrorCode, Message: publicMessage(*t.ErrorCode)}
	}
	return task
}

// publicMessage is what strangers are told of an error: the handler's own words may hold anything.
func publicMessage(code string) string {
	switch code {
	case "timeout":
		return "It took too long."
	case "worker_lost":
		return "The program that worked on it was lost."
	case "expired":
		return "It was not started in time."
	case "cancelled":
		return "It was cancelled."
	}
	return "It failed."
}

// watchView shows a task to strangers. They get no log lines.
type watchView struct{}

func (watchView) frame(s *scheduler.Snapshot) []byte {
	return scheduler.Frame(s, watchView{}, func(t scheduler.Task) []byte { return encodeLine(NewWatchedTask(t)) })
}

func (watchView) lineFrame(scheduler.TaskID, scheduler.LogLine) []byte { return []byte("{}") }

func (watchView) missing(err error, _ scheduler.TaskID) error { return watchMissing(err) }
