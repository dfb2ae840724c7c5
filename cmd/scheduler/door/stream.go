package door

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

// streamSilence is how long a stream may say nothing, not even a heartbeat, until it is taken for dead.
const streamSilence = 45 * time.Second

var (
	errNoStreams = errors.New("the server has no streams")
	errEnough    = errors.New("nobody wants to hear more")
)

func (d *httpDoor) Follow(ctx context.Context, id string, from From) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := &stream{door: d, id: id, lines: from.Lines, yield: yield}
		if from.After > 0 {
			s.last = fmt.Sprintf("0.%d", from.After)
		}
		for away := (outage{}); ctx.Err() == nil; pause(ctx, lookEvery) {
			s.heard = false
			err := s.once(ctx)
			if s.heard {
				away = outage{}
			}
			switch {
			case err == nil, errors.Is(err, errEnough), ctx.Err() != nil:
				return
			case errors.Is(err, errNoStreams):
				d.poll(ctx, id, from, yield)
				return
			}
			if err = away.judge(err); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// stream is one task as a server tells of it, over as many connections as it takes.
type stream struct {
	door  *httpDoor
	id    string
	lines bool
	last  string // id of the last event; "": none
	heard bool   // an event came over this connection
	yield func(Event, error) bool
}

// once follows over one connection. nil: the task is done and all was told.
func (s *stream) once(ctx context.Context) error {
	live, cancel := context.WithCancel(ctx)
	defer cancel()
	dead := time.AfterFunc(streamSilence, cancel)
	defer dead.Stop()
	response, err := s.open(live)
	if err != nil {
		return s.door.unreachable(ctx, err)
	}
	defer response.Body.Close()
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case response.StatusCode == http.StatusNoContent:
		return s.final(ctx)
	case response.StatusCode >= 300:
		raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
		if err != nil {
			return s.door.unreachable(ctx, err)
		}
		return s.refused(ctx, response, raw)
	case media != "text/event-stream":
		return s.door.stranger(response)
	}
	events := bufio.NewReader(response.Body)
	for {
		name, id, data, err := readEvent(events, func() { dead.Reset(streamSilence) })
		if err != nil {
			return s.door.unreachable(ctx, err)
		}
		if id != "" {
			s.last, s.heard = id, true
		}
		if done, err := s.take(name, data); done || err != nil {
			return err
		}
	}
}

func (s *stream) open(ctx context.Context) (*http.Response, error) {
	query := url.Values{}
	if !s.lines {
		query.Set("logs", "false")
	}
	if s.last != "" {
		query.Set("after", s.last)
	}
	request, err := s.door.build(ctx, request{method: "GET", path: task(s.id, "events"), query: query})
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream")
	if s.last != "" {
		request.Header.Set("Last-Event-ID", s.last)
	}
	return s.door.client.Do(request)
}

// refused tells an unknown task from a server that has no such path.
func (s *stream) refused(ctx context.Context, response *http.Response, raw []byte) error {
	refusal := s.door.refused(response, raw)
	if response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusMethodNotAllowed {
		return refusal
	}
	if _, err := s.door.Task(ctx, s.id); err != nil {
		return err
	}
	return errNoStreams
}

// final tells of a task of which all else was told before.
func (s *stream) final(ctx context.Context) error {
	task, err := s.door.Task(ctx, s.id)
	if err == nil && !s.yield(Event{Task: &task}, nil) {
		err = errEnough
	}
	return err
}

// take passes an event on. done: it is the last.
func (s *stream) take(name, data string) (done bool, err error) {
	var event Event
	switch name {
	case "task":
		event.Task = &httpapi.Task{}
		err = json.Unmarshal([]byte(data), event.Task)
	case "log":
		var line httpapi.EventLine
		err = json.Unmarshal([]byte(data), &line)
		event.Lines = []httpapi.LogLine{line.LogLine}
	case "gap":
		event.Missed = true
	case "gone":
		return false, &refusal{class: scheduler.ErrNotFound, text: "task " + s.id + " was deleted"}
	case "end":
		return true, nil
	default:
		return false, nil
	}
	if err != nil {
		return false, &refusal{class: ErrUnreachable, text: "an event cannot be read: " + err.Error()}
	}
	if !s.yield(event, nil) {
		return false, errEnough
	}
	return false, nil
}

// readEvent reads one event of a stream of server-sent events, as the HTML standard has them, or an id without one, whose name is ""; heard is called at each line.
func readEvent(r *bufio.Reader, heard func()) (name, id, data string, err error) {
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", "", "", err // what has no end is dropped
		}
		heard()
		line = strings.TrimRight(line, "\r\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && len(lines) == 0 && id != "":
			return "", id, "", nil // no event: only what to come back with
		case line == "" && len(lines) == 0:
			name = "" // a comment, or retry
		case line == "":
			return name, id, strings.Join(lines, "\n"), nil
		case field == "event":
			name = value
		case field == "id":
			id = value
		case field == "data":
			lines = append(lines, value)
		}
	}
}
