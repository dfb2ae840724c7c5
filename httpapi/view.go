package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/pgscheduler/scheduler/scheduler"
)

// view is how a task is shown to those who follow it.
type view interface {
	// frame is the data of an event about the task, one line.
	frame(s *scheduler.Snapshot) []byte
	// lineFrame is the data of an event about a log line.
	lineFrame(id scheduler.TaskID, l scheduler.LogLine) []byte
	// gapFrame is the data of an event about lines that are not sent.
	gapFrame(id scheduler.TaskID, seen cursor) []byte
	// missing says of an error of reading the task that there is none, if that is what it means.
	missing(err error, id scheduler.TaskID) error
}

// taskView shows all of a task.
type taskView struct{}

func (taskView) frame(s *scheduler.Snapshot) []byte {
	return scheduler.Frame(s, taskView{}, func(t scheduler.Task) []byte { return encodeLine(NewTask(t)) })
}

func (taskView) lineFrame(id scheduler.TaskID, l scheduler.LogLine) []byte {
	return encodeLine(EventLine{Task: id.String(), LogLine: NewLogLine(l)})
}

func (taskView) gapFrame(id scheduler.TaskID, seen cursor) []byte {
	return encodeLine(newGap(id, seen))
}

func (taskView) missing(err error, id scheduler.TaskID) error {
	return noSuch(err, "task "+id.String())
}

// EventLine is the data of an event about a log line.
type EventLine struct {
	Task string `json:"task" format:"uuid"`
	LogLine
}

// Gap is the data of an event that stands for log lines that are not sent.
type Gap struct {
	Task string `json:"task" format:"uuid"`
	Logs string `json:"logs,omitempty" doc:"Where they are; not under a watch URL."`
}

func newGap(id scheduler.TaskID, seen cursor) Gap {
	return Gap{Task: id.String(), Logs: "/v1/tasks/" + id.String() + "/logs?after=" + strconv.FormatInt(seen.line, 10)}
}

// encodeLine is JSON on one line, without its end, and without the escapes that only HTML needs.
func encodeLine(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Errorf("encode an event: %w", err)) // the types of wire.go have nothing that cannot be
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
