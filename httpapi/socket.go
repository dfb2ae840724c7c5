package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"unicode/utf8"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

const (
	mostSubscribed = 1000    // tasks of one socket
	maxMessage     = 4 << 10 // bytes that a client may send at once
)

// SocketRequest is what a client sends on a socket.
type SocketRequest struct {
	Op    string          `json:"op" enum:"subscribe,unsubscribe,ping"`
	ID    json.RawMessage `json:"id,omitempty" doc:"Of the subscription: a number or string of the client's, of at most 64 bytes, sent back with all that is about it"`
	Task  string          `json:"task,omitempty" doc:"subscribe to a task"`
	Topic string          `json:"topic,omitempty" doc:"subscribe to the messages of all topics that this pattern matches"`
	After string          `json:"after,omitempty" doc:"subscribe: the cursor of the last event that was seen"`
	Logs  *bool           `json:"logs,omitempty" doc:"subscribe: false: without log lines"`
}

// SocketMessage is what the server sends on a socket.
type SocketMessage struct {
	Op      string          `json:"op" enum:"event,end,error,pong,cursor"`
	ID      json.RawMessage `json:"id,omitempty" doc:"Of the subscription that it is about, or of the ping"`
	Event   string          `json:"event,omitempty" enum:"task,log,gap,gone,message,cursor_expired"`
	Cursor  string          `json:"cursor,omitempty" doc:"event, end, cursor: what to come back with"`
	Data    json.RawMessage `json:"data,omitempty" doc:"event: as that of the stream's event"`
	Problem *Problem        `json:"problem,omitempty" doc:"error"`
}

// registerSocket puts the socket on the mux and into the document.
func (s *server) registerSocket(api huma.API) {
	op := operation{Operation: huma.Operation{OperationID: "socket", Method: "GET", Path: "/v1/ws", Tags: []string{"tasks"}, Summary: "Tasks and topics, live (WebSocket)",
		Description: "Subscribe to tasks and topic patterns, and unsubscribe from them, as you go; docs/guides/live.md has the messages."}, codes: []Code{CodeForbidden, CodeUpgradeRequired, CodeValidationFailed}}
	op.Responses = op.problems(api.OpenAPI().Components.Schemas)
	op.Responses["101"] = &huma.Response{Description: "Messages of JSON text follow: SocketRequest to the server, SocketMessage from it"}
	api.OpenAPI().AddOperation(&op.Operation)
	s.mux.HandleFunc("GET /v1/ws", s.socket)
}

// socket answers with messages until the client goes or stops reading, or the server stops.
func (s *server) socket(w http.ResponseWriter, r *http.Request) {
	if conn, ok := r.Context().Value(connKey{}).(*net.TCPConn); ok {
		_ = conn.SetWriteBuffer(streamBuffer) // a hint
	}
	conn, problem := accept(w, r)
	if problem != nil {
		problem.write(w, r)
		return
	}
	conn.SetReadLimit(maxMessage)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if stopping, ok := ctx.Value(stopKey{}).(context.Context); ok {
		defer context.AfterFunc(stopping, func() {
			_ = conn.Close(websocket.StatusGoingAway, "the server stops") // the reader ends by it
			cancel()
		})()
	}
	t := &conversation{server: s, requestID: requestID(r.Context()), conn: conn, watcher: s.client.Watcher(), byTask: map[scheduler.TaskID]*subscription{}, byID: map[string]*subscription{}}
	defer t.watcher.Close()
	var writing sync.WaitGroup
	writing.Go(func() { // ends with ctx; Wait waits for it
		defer cancel()
		t.write(ctx)
	})
	t.read(ctx)
	cancel()
	writing.Wait()
	t.topics.Wait()
	_ = conn.CloseNow() // it is closed by now, or broken
}

// accept makes a socket of a request, or says why not: pages of other origins are refused, above all.
func accept(w http.ResponseWriter, r *http.Request) (*websocket.Conn, *Problem) {
	if _, problem := strictly(r, nil, nil); problem != nil {
		return nil, problem
	}
	refused := &refusal{ResponseWriter: w}
	conn, err := websocket.Accept(refused, r, nil)
	switch {
	case err == nil:
		return conn, nil
	case refused.status == http.StatusForbidden:
		return nil, newProblem(CodeForbidden, err.Error()+"; connect from a page of this server, or from a program, which sends no Origin")
	}
	problem := newProblem(CodeUpgradeRequired, err.Error())
	problem.header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	return nil, problem
}

// refusal keeps the library's answer to a request that it refuses, which is plain text.
type refusal struct {
	http.ResponseWriter
	status int
}

func (w *refusal) WriteHeader(status int) {
	if w.status = status; status == http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *refusal) Write(b []byte) (int, error) { return len(b), nil }

// Unwrap is for http.ResponseController, and for the library, which takes the connection over.
func (w *refusal) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// conversation is a socket at work: one goroutine reads and one writes.
type conversation struct {
	server    *server
	requestID string
	conn      *websocket.Conn
	watcher   *scheduler.Watcher

	mu     sync.Mutex
	byTask map[scheduler.TaskID]*subscription
	byID   map[string]*subscription

	topics sync.WaitGroup // of those who write messages of topics
}

// subscription is a task of a socket, or a topic pattern.
type subscription struct {
	id   json.RawMessage
	task scheduler.TaskID
	seen cursor
	read bool   // something was sent
	stop func() // ends following a topic pattern; nil: it is a task
}

// read does what the client asks for, until it goes.
func (t *conversation) read(ctx context.Context) {
	for {
		kind, message, err := t.conn.Read(ctx)
		switch {
		case err != nil:
			return
		case kind != websocket.MessageText:
			_ = t.conn.Close(websocket.StatusUnsupportedData, "messages are JSON objects in text") // broken either way
			return
		case !utf8.Valid(message):
			_ = t.conn.Close(websocket.StatusInvalidFramePayloadData, "messages are UTF-8")
			return
		}
		request, err := t.server.asks.one(message)
		if err == nil && len(message) == 0 {
			err = newProblem(CodeMalformedJSON, "the message is empty")
		}
		if err == nil {
			err = t.heed(ctx, request)
		}
		var problem *Problem
		if errors.As(err, &problem) {
			err = t.send(ctx, SocketMessage{Op: "error", ID: request.ID, Problem: problem})
		}
		if err != nil {
			return
		}
	}
}

// heed does what a message asks for. A *Problem is for the client, other errors are the socket's.
func (t *conversation) heed(ctx context.Context, request SocketRequest) error {
	if n := len(request.ID); n > 64 || n > 0 && request.ID[0] != '"' && request.ID[0] != '-' && (request.ID[0] < '0' || request.ID[0] > '9') || n == 0 && request.Op != "ping" {
		return invalid(Detail{Pointer: "/id", Detail: "a number or a string of at most 64 bytes"})
	}
	var problem *Problem
	switch request.Op {
	case "subscribe":
		if request.Topic != "" {
			problem = t.subscribeTopic(ctx, request)
		} else {
			problem = t.subscribe(request)
		}
	case "unsubscribe":
		t.unsubscribe(request.ID)
	case "ping":
		return t.send(ctx, SocketMessage{Op: "pong", ID: request.ID})
	}
	if problem != nil {
		return problem
	}
	return nil
}

func (t *conversation) subscribe(request SocketRequest) *Problem {
	task, err := scheduler.ParseTaskID(request.Task)
	if err != nil {
		return invalid(Detail{Pointer: "/task", Detail: "the id of a task"})
	}
	var seen cursor
	if request.After != "" {
		if seen, err = parseEventID(request.After); err != nil {
			return invalid(Detail{Pointer: "/after", Detail: "the cursor of an event"})
		}
	}
	sub := &subscription{id: request.ID, task: task, seen: seen}
	t.mu.Lock()
	defer t.mu.Unlock()
	if problem := t.fits(request.ID); problem != nil {
		return problem
	}
	switch {
	case t.byTask[task] != nil:
		return invalid(Detail{Pointer: "/task", Detail: "followed by another subscription of this socket"})
	case len(t.byTask) == mostSubscribed:
		return invalid(Detail{Pointer: "/task", Detail: fmt.Sprintf("at most %d at a time", mostSubscribed)})
	}
	t.byTask[task], t.byID[string(request.ID)] = sub, sub
	t.watcher.Add(task, scheduler.WatchFrom{Revision: seen.revision, Line: seen.line, NoLines: request.Logs != nil && !*request.Logs})
	return nil
}

// fits says why a subscription can't have the id. t.mu is held.
func (t *conversation) fits(id json.RawMessage) *Problem {
	if t.byID[string(id)] != nil {
		return invalid(Detail{Pointer: "/id", Detail: "taken by another subscription of this socket"})
	}
	return nil
}

func (t *conversation) unsubscribe(id json.RawMessage) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if sub := t.byID[string(id)]; sub != nil {
		t.forget(sub)
	}
}

// forget ends a subscription. t.mu is held.
func (t *conversation) forget(sub *subscription) {
	if sub.stop != nil {
		sub.stop()
	} else {
		t.watcher.Remove(sub.task)
		delete(t.byTask, sub.task)
	}
	delete(t.byID, string(sub.id))
}

// write sends what is new, and a ping when nothing is, until ctx ends or the client does not take it.
func (t *conversation) write(ctx context.Context) {
	for {
		waiting, stop := context.WithTimeout(ctx, t.server.silence)
		task, change, err := t.watcher.Next(waiting)
		stop()
		switch {
		case err == nil || errors.Is(err, scheduler.ErrNotFound):
			err = t.change(ctx, task, change, err != nil)
		case ctx.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded):
			ping, done := context.WithTimeout(ctx, t.server.takeWait)
			err = t.conn.Ping(ping)
			done()
		}
		if err != nil {
			return
		}
	}
}

// change sends what is new of a task.
func (t *conversation) change(ctx context.Context, task scheduler.TaskID, c scheduler.Change, gone bool) error {
	t.mu.Lock()
	sub := t.byTask[task]
	done := gone || sub != nil && c.Latest.Task.State.Done()
	if sub != nil && done {
		t.forget(sub)
	}
	t.mu.Unlock()
	if sub == nil { // unsubscribed meanwhile
		return nil
	}
	for _, message := range sub.messages(c, gone) {
		if err := t.send(ctx, message); err != nil {
			return err
		}
	}
	return nil
}

// messages are what is sent of a change, in the order of the streams of events.go.
func (s *subscription) messages(c scheduler.Change, gone bool) (list []SocketMessage) {
	add := func(event string, data []byte) {
		list = append(list, SocketMessage{Op: "event", ID: s.id, Event: event, Cursor: s.seen.String(), Data: data})
	}
	first := !s.read
	s.read = true
	switch {
	case gone && first:
		return append(list, SocketMessage{Op: "error", ID: s.id, Problem: newProblem(CodeNotFound, "there is no task "+s.task.String())})
	case gone:
		add("gone", encodeLine(Gone{Task: s.task.String()}))
		return append(list, SocketMessage{Op: "end", ID: s.id, Cursor: s.seen.String()})
	}
	snapshot := func() {
		if c.Snapshot != nil {
			s.seen.revision = c.Snapshot.Task.Revision
			add("task", taskView{}.frame(c.Snapshot))
		}
	}
	if first {
		snapshot()
	}
	if c.Missed {
		add("gap", encodeLine(newGap(s.task, s.seen)))
	}
	for _, line := range c.Lines {
		s.seen.line = line.ID
		add("log", taskView{}.lineFrame(s.task, line))
	}
	if !first {
		snapshot()
	}
	if c.Latest.Task.State.Done() {
		list = append(list, SocketMessage{Op: "end", ID: s.id, Cursor: s.seen.String()})
	}
	return list
}

// send writes a message. A client that does not take it in time is cut off.
func (t *conversation) send(ctx context.Context, message SocketMessage) error {
	if message.Problem != nil {
		message.Problem.RequestID = t.requestID
	}
	ctx, cancel := context.WithTimeout(ctx, t.server.takeWait)
	defer cancel()
	return t.conn.Write(ctx, websocket.MessageText, encodeLine(message))
}
