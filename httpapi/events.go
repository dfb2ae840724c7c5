package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	retryAfter   = 2 * time.Second // how soon a client whose stream broke comes back
	mostFollowed = 100             // tasks of one stream
	streamBuffer = 16 << 10        // bytes that the system holds for a client that does not read
	mediaEvents  = "text/event-stream; charset=utf-8"
)

// cursor is what a client has seen of a task: its revision, and the last log line.
type cursor struct{ revision, line int64 }

// String is 12, or 12.345 once there were lines.
func (c cursor) String() string {
	if c.line == 0 {
		return strconv.FormatInt(c.revision, 10)
	}
	return strconv.FormatInt(c.revision, 10) + "." + strconv.FormatInt(c.line, 10)
}

func parseEventID(text string) (c cursor, err error) {
	revision, line, dotted := strings.Cut(text, ".")
	c.revision, err = strconv.ParseInt(revision, 10, 64)
	if err == nil && dotted {
		c.line, err = strconv.ParseInt(line, 10, 64)
	}
	if err == nil && (c.revision < 0 || c.line < 0) {
		err = errors.New("negative")
	}
	return c, err
}

// seen returns what the client says that it has seen of n tasks, by the header of a client that comes back or the parameter
// of one that comes for the first time.
func seen(r *http.Request, n int) ([]cursor, *Problem) {
	list := make([]cursor, n)
	text, detail := r.Header.Get("Last-Event-ID"), Detail{Header: "Last-Event-ID"}
	if text == "" {
		text, detail = r.URL.Query().Get("after"), Detail{Parameter: "after"}
	}
	if text == "" {
		return list, nil
	}
	detail.Detail = "the id of an event of this stream, such as 12 or 12.345"
	parts := strings.Split(text, ",")
	if len(parts) != n {
		return nil, invalid(detail)
	}
	for i, part := range parts {
		var err error
		if list[i], err = parseEventID(part); err != nil {
			return nil, invalid(detail)
		}
	}
	return list, nil
}

// registerEvents puts the streams on the mux, beside huma, which would not stream, and into the document.
func (s *server) registerEvents(api huma.API) {
	registry := api.OpenAPI().Components.Schemas
	least, most := 1, mostFollowed
	var data huma.Schema
	for _, event := range []any{Task{}, EventLine{}, Gap{}, Gone{}} {
		data.AnyOf = append(data.AnyOf, registry.Schema(reflect.TypeOf(event), true, ""))
	}
	id := &huma.Schema{Type: huma.TypeString, Format: "uuid"}
	after := &huma.Param{Name: "after", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
		Description: "The id of the last event that was seen; Last-Event-ID says the same and comes first."}
	logs := &huma.Param{Name: "logs", In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean, Default: true}, Description: "false: without log lines."}
	for _, op := range []operation{
		{Operation: huma.Operation{OperationID: "follow-task", Method: "GET", Path: "/v1/tasks/{id}/events", Summary: "One task, live (server-sent events)",
			Parameters: []*huma.Param{{Name: "id", In: "path", Required: true, Schema: id}, after, logs}},
			direct: s.taskEvents},
		{Operation: huma.Operation{OperationID: "follow-tasks", Method: "GET", Path: "/v1/events", Summary: "Several tasks, live (server-sent events)",
			Parameters: []*huma.Param{{Name: "task", In: "query", Required: true, Description: "Once for each task.",
				Schema: &huma.Schema{Type: huma.TypeArray, Items: id, MinItems: &least, MaxItems: &most}}, after, logs}},
			direct: s.tasksEvents},
	} {
		op.Tags, op.codes = []string{"tasks"}, []Code{CodeNotFound, CodeValidationFailed}
		op.Description = "event: task, the whole task as it is, first of all and after each change; event: log, a line; event: gap, lines that are " +
			"not sent; event: gone, it was deleted; event: end, all are done. id: what to come back with."
		op.Responses = op.problems(registry)
		op.Responses["200"] = &huma.Response{Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &data}}}
		op.Responses["204"] = &huma.Response{Description: "All was seen, and nothing more will come"}
		api.OpenAPI().AddOperation(&op.Operation)
		s.mux.HandleFunc(op.Method+" "+op.Path, op.direct)
	}
}

// taskEvents answers with the stream of the task of the path.
func (s *server) taskEvents(w http.ResponseWriter, r *http.Request) {
	query, problem := strictly(r, []string{"after", "logs"}, nil)
	s.events(w, r, query, []string{r.PathValue("id")}, problem)
}

// tasksEvents answers with the stream of the tasks of the query.
func (s *server) tasksEvents(w http.ResponseWriter, r *http.Request) {
	query, problem := strictly(r, []string{"after", "logs"}, []string{"task"})
	s.events(w, r, query, query["task"], problem)
}

func (s *server) events(w http.ResponseWriter, r *http.Request, query url.Values, names []string, problem *Problem) {
	var ids []scheduler.TaskID
	var from []cursor
	if problem == nil {
		ids, from, problem = eventsOf(r, query, names)
	}
	if problem != nil {
		problem.write(w, r)
		return
	}
	s.stream(w, r, ids, from, taskView{}, query.Get("logs") != "false")
}

// eventsOf reads what a request for a stream asks for.
func eventsOf(r *http.Request, query url.Values, names []string) (ids []scheduler.TaskID, from []cursor, problem *Problem) {
	if len(names) == 0 || len(names) > mostFollowed {
		return nil, nil, invalid(Detail{Parameter: "task", Detail: fmt.Sprintf("1 to %d ids of tasks, each as task=…", mostFollowed)})
	}
	if !slices.Contains([]string{"", "true", "false"}, query.Get("logs")) {
		return nil, nil, invalid(Detail{Parameter: "logs", Detail: "true or false"})
	}
	for _, name := range names {
		id, err := scheduler.ParseTaskID(name)
		if err != nil || slices.Contains(ids, id) {
			return nil, nil, invalid(Detail{Parameter: "task", Detail: "ids of tasks, each once"})
		}
		ids = append(ids, id)
	}
	from, problem = seen(r, len(ids))
	return ids, from, problem
}

// stream sends events about tasks until all are done, the client goes or stops reading, or the server stops.
func (s *server) stream(w http.ResponseWriter, r *http.Request, ids []scheduler.TaskID, from []cursor, its view, logs bool) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if stopping, ok := ctx.Value(stopKey{}).(context.Context); ok {
		defer context.AfterFunc(stopping, cancel)()
	}
	watcher := s.client.Watcher()
	defer watcher.Close()
	for i, id := range ids {
		watcher.Add(id, scheduler.WatchFrom{Revision: from[i].revision, Line: from[i].line, NoLines: !logs})
	}
	first, problem := s.firsts(ctx, watcher, ids, from, its)
	if problem != nil {
		problem.write(w, r)
		return
	}
	if !slices.ContainsFunc(first, func(c scheduler.Change) bool {
		return c.Snapshot != nil || len(c.Lines) > 0 || c.Latest != nil && !c.Latest.Task.State.Done()
	}) {
		w.WriteHeader(http.StatusNoContent) // which tells an EventSource that comes back that all is said
		return
	}
	if r.Method == http.MethodHead { // there is nothing to follow
		w.Header().Set("Content-Type", mediaEvents)
		return
	}
	out := &events{w: w, to: http.NewResponseController(w), ids: ids, seen: from, view: its, left: len(ids), within: s.takeWait}
	for i, change := range first { // what becomes of one that is done ends nothing
		if change.Latest != nil && change.Latest.Task.State.Done() {
			watcher.Remove(ids[i])
		}
	}
	if err := out.begin(r, first); err != nil {
		return
	}
	for out.left > 0 {
		waiting, stop := context.WithTimeout(ctx, s.silence)
		id, change, err := watcher.Next(waiting)
		stop()
		switch {
		case errors.Is(err, scheduler.ErrNotFound):
			err = out.gone(slices.Index(ids, id))
		case err == nil:
			err = out.change(slices.Index(ids, id), change)
			if change.Latest.Task.State.Done() {
				watcher.Remove(id)
			}
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			out.comment()
			err = nil
		}
		if err == nil {
			err = out.flush()
		}
		if err != nil {
			return
		}
	}
}

// firsts waits until each task was read once. A task that is gone and that the client has seen is an empty change; but when all
// are, that is the problem.
func (s *server) firsts(ctx context.Context, watcher *scheduler.Watcher, ids []scheduler.TaskID, from []cursor, its view) ([]scheduler.Change, *Problem) {
	limited, cancel := s.limited(ctx, "")
	defer cancel()
	changes := make([]scheduler.Change, len(ids))
	there := len(ids)
	for missing := len(ids); missing > 0; {
		id, change, err := watcher.Next(limited)
		at := slices.Index(ids, id)
		if errors.Is(err, scheduler.ErrNotFound) && from[at].revision > 0 && there > 1 {
			if changes[at].Latest == nil {
				missing--
			}
			there--
			changes[at] = scheduler.Change{}
			continue
		}
		if err != nil {
			return nil, s.problem(limited, its.missing(err, id))
		}
		if changes[at].Latest == nil {
			missing--
			changes[at] = change
			continue
		}
		changes[at].Latest = change.Latest // it changed while others were read
		if change.Snapshot != nil {
			changes[at].Snapshot = change.Snapshot
		}
		changes[at].Lines = append(changes[at].Lines, change.Lines...)
		changes[at].Missed = changes[at].Missed || change.Missed
	}
	return changes, nil
}

// events is a stream as it is written.
type events struct {
	w     http.ResponseWriter
	to    *http.ResponseController
	ids   []scheduler.TaskID
	seen  []cursor
	view  view
	left  int // tasks that are not done
	batch bytes.Buffer

	within time.Duration // a client that does not take what it is sent for so long is dropped
}

// head writes the header, and what every stream begins with.
func (e *events) head(r *http.Request) {
	if conn, ok := r.Context().Value(connKey{}).(*net.TCPConn); ok {
		_ = conn.SetWriteBuffer(streamBuffer) // a hint
	}
	header := e.w.Header()
	header.Set("Content-Type", mediaEvents)
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no")
	fmt.Fprintf(&e.batch, "retry: %d\n\n", retryAfter.Milliseconds())
}

// begin sends the header, and each task as it is.
func (e *events) begin(r *http.Request, first []scheduler.Change) error {
	e.head(r)
	for i, change := range first {
		if change.Latest == nil {
			if err := e.gone(i); err != nil {
				return err
			}
			continue
		}
		if change.Snapshot != nil { // the task comes first, for those who see it for the first time
			e.task(i, change.Snapshot)
			change.Snapshot = nil
		}
		if err := e.change(i, change); err != nil {
			return err
		}
	}
	return e.flush()
}

// change sends what is new of a task: lines, then what became of it.
func (e *events) change(i int, c scheduler.Change) error {
	if c.Missed {
		e.event("gap", e.id(), e.view.gapFrame(e.ids[i], e.seen[i]))
	}
	for _, line := range c.Lines {
		e.seen[i].line = line.ID
		e.event("log", e.id(), e.view.lineFrame(e.ids[i], line))
	}
	if c.Snapshot != nil {
		e.task(i, c.Snapshot)
	}
	if c.Latest.Task.State.Done() {
		e.end()
	}
	return nil
}

func (e *events) task(i int, s *scheduler.Snapshot) {
	e.seen[i].revision = s.Task.Revision
	e.event("task", e.id(), e.view.frame(s))
}

// gone sends that a task was deleted.
func (e *events) gone(i int) error {
	e.event("gone", e.id(), encodeLine(Gone{Task: e.ids[i].String()}))
	e.end()
	return nil
}

// Gone is the data of an event about a task that was deleted.
type Gone struct {
	Task string `json:"task" format:"uuid"`
}

// end sends, once all tasks are done, that nothing more will come.
func (e *events) end() {
	if e.left--; e.left == 0 {
		e.event("end", e.id(), []byte("{}"))
	}
}

// id is the cursor of all tasks.
func (e *events) id() string {
	var b strings.Builder
	for i, c := range e.seen {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(c.String())
	}
	return b.String()
}

func (e *events) event(name, id string, data []byte) {
	fmt.Fprintf(&e.batch, "event: %s\nid: %s\ndata: %s\n\n", name, id, data)
}

// cursor is an id without an event: what to come back with moves on, and nothing else happens.
func (e *events) cursor(id string) { fmt.Fprintf(&e.batch, "id: %s\n\n", id) }

// comment keeps the connection alive.
func (e *events) comment() { e.batch.WriteString(":\n\n") }

// flush sends what was written. A client that does not take it in time is cut off.
func (e *events) flush() error {
	_ = e.to.SetWriteDeadline(time.Now().Add(e.within)) // no connection has none
	_, err := e.w.Write(e.batch.Bytes())
	e.batch.Reset()
	if err == nil {
		err = e.to.Flush()
	}
	if e.batch.Cap() > streamBuffer { // not kept for 10,000 who wait
		e.batch = bytes.Buffer{}
	}
	return err
}
