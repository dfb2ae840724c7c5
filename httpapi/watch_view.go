package httpapi

import (
	"encoding/json"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// WatchedTask is a task as strangers may see it: how far it is and how it ended. Payload, result, log, worker, kind, queue,
// keys, stacks and what errors say do not leave by a watch URL; but the result and the log do by one that was made to show them.
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
	Result     json.RawMessage  `json:"result,omitempty" doc:"What the handler returned. Only under a link that shows it, once the task is completed."`
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

// NewWatchedTask returns what strangers may see of a task under a link that shows so much.
func NewWatchedTask(t scheduler.Task, shows WatchShow) WatchedTask {
	task := WatchedTask{ID: t.ID.String(), State: string(t.State), Done: t.State.Done(), RunAt: t.RunAt.UTC(), CreatedAt: t.CreatedAt.UTC(),
		StartedAt: utc(t.StartedAt), FinishedAt: utc(t.FinishedAt), Revision: t.Revision}
	if p := newProgress(t); p != nil {
		task.Progress = &WatchedProgress{Current: p.Current, Total: p.Total, Percent: p.Percent, Message: p.Message, At: p.At}
	}
	if t.ErrorCode != nil && t.State != scheduler.Completed {
		task.Error = &TaskError{Code: *t.ErrorCode, Message: publicMessage(*t.ErrorCode)}
	}
	if shows&ShowResult != 0 {
		task.Result = t.Result
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

// watchView shows a task to strangers.
type watchView struct{ shows WatchShow }

func (v watchView) frame(s *scheduler.Snapshot) []byte {
	return scheduler.Frame(s, v, func(t scheduler.Task) []byte { return encodeLine(NewWatchedTask(t, v.shows)) })
}

func (watchView) lineFrame(id scheduler.TaskID, l scheduler.LogLine) []byte {
	return taskView{}.lineFrame(id, l)
}

func (watchView) gapFrame(id scheduler.TaskID, _ cursor) []byte {
	return encodeLine(Gap{Task: id.String()})
}

func (watchView) missing(err error, _ scheduler.TaskID) error { return watchMissing(err) }
