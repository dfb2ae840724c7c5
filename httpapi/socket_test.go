package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/pgscheduler/scheduler/scheduler"
)

// dial opens a socket.
func (r *rig) dial(options *websocket.DialOptions) (*websocket.Conn, context.Context) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	r.t.Cleanup(cancel)
	if options == nil {
		options = &websocket.DialOptions{}
	}
	options.HTTPClient = r.web
	conn, _, err := websocket.Dial(ctx, strings.Replace(r.url, "http", "ws", 1)+"/v1/ws", options)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	return conn, ctx
}

// One socket follows tasks as they come and go.
func TestSocket(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	a, b := r.submit(`{"kind":"a"}`), r.submit(`{"kind":"b"}`)
	conn, ctx := r.dial(nil)
	say := func(request string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(request)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) (m SocketMessage) {
		t.Helper()
		if err := wsjson.Read(ctx, conn, &m); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(strings.Fields(fmt.Sprint(m.Op, " ", string(m.ID), " ", m.Event, " ", m.Cursor)), " ")
		if m.Problem != nil {
			got += " " + string(m.Problem.Code)
		}
		if got != want {
			t.Fatalf("came %q %s, want %q", got, m.Data, want)
		}
		return m
	}
	say(`{"op":"ping"}`)
	hear("pong")
	say(`{"op":"subscribe","id":1,"task":"` + a.ID + `"}`)
	var task Task
	if m := hear("event 1 task 1"); json.Unmarshal(m.Data, &task) != nil || task.ID != a.ID || task.Kind != "a" {
		t.Errorf("came %s", m.Data)
	}
	say(`{"op":"subscribe","id":"b","task":"` + b.ID + `","after":"1"}`)
	r.post("/v1/tasks/"+b.ID+"/cancel", "").want(200)
	hear(`event "b" task 2`)
	hear(`end "b" 2`)
	for request, want := range map[string]string{
		`{"op":"subscribe","id":1,"task":"` + b.ID + `"}`:              "error 1 validation_failed",
		`{"op":"subscribe","id":2,"task":"` + a.ID + `"}`:              "error 2 validation_failed",
		`{"op":"subscribe","id":{},"task":"` + b.ID + `"}`:             "error {} validation_failed",
		`{"op":"subscribe","id":2,"task":"x"}`:                         "error 2 validation_failed",
		`{"op":"subscribe","id":2,"task":"` + b.ID + `","after":"-1"}`: "error 2 validation_failed",
		`{"op":"dance","id":2}`:                                        "error 2 validation_failed",
		`{"op":"subscribe","id":3,"task":"` + freshID() + `"}`:         "error 3 not_found",
	} {
		say(request)
		hear(want)
	}
	say(`{"op":"unsubscribe","id":1}`)
	say(`{"op":"subscribe","id":4,"task":"` + a.ID + `"}`)
	hear("event 4 task 1")
	r.exec(`delete from scheduler.tasks where id = $1`, a.ID)
	hear("event 4 gone 1")
	hear("end 4 1")
	say(`not JSON`)
	hear("error malformed_json")
}

func freshID() string { return scheduler.NewTaskID().String() }

// Pages of other origins open no socket, and what asks for none is told so; both are problems.
func TestSocketIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="}
	r.get("/v1/ws").want(426).problem(CodeUpgradeRequired)
	r.get("/v1/ws", upgrade[:4]...).problem(CodeUpgradeRequired)
	r.get("/v1/ws", append(upgrade[:4:4], "Sec-WebSocket-Version", "8")...).problem(CodeUpgradeRequired)
	r.get("/v1/ws?token=x", upgrade...).problem(CodeValidationFailed)
	for _, origin := range []string{"https://elsewhere.example", "null", "http://127.0.0.1:1", "file://"} {
		if p := r.get("/v1/ws", append(upgrade, "Origin", origin)...).want(403).problem(CodeForbidden); !strings.Contains(p.Detail, "connect from a page of this server") {
			t.Errorf("%s: %s", origin, p.Detail)
		}
	}
}

// What is no request is answered by a problem, with the socket's request_id, and the socket goes on; what is no text closes it.
func TestSocketRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	conn, ctx := r.dial(nil)
	task := r.submit(`{"kind":"k"}`).ID
	for request, want := range map[string]string{
		`{"op":"x","id":1}`:                                  `"/op`,
		`{"id":1}`:                                           `"/op`,
		`{"op":1}`:                                           `"/op`,
		`{"op":"ping","op":"ping"}`:                          `"/op: given twice`,
		`{"OP":"ping"}`:                                      `"/OP: unknown`,
		`{"op":"subscribe","id":1,"tsak":"x"}`:               `"/tsak: unknown`,
		`{"op":"subscribe","id":1}`:                          `"/task`,
		`{"op":"subscribe","id":1,"task":"x"}`:               `"/task`,
		`{"op":"subscribe","task":"` + task + `"}`:           `"/id`,
		`{"op":"subscribe","id":null,"task":"` + task + `"}`: `"/id`,
		`{"op":"subscribe","id":true,"task":"` + task + `"}`: `"/id`,
		`{"op":"subscribe","id":{},"task":"` + task + `"}`:   `"/id`,
		`{"op":"subscribe","id":"` + strings.Repeat("x", 63) + `","task":"` + task + `"}`: `"/id`,
		`{"op":"unsubscribe"}`: `"/id`,
		`{"op":"subscribe","id":1,"task":"` + task + `","after":"-1"}`: `"/after`,
		`{"op":"subscribe","id":1,"topic":"a..b"}`:                     `"/topic`,
		`{"op":"subscribe","id":1,"topic":"a","logs":true}`:            `"/topic`,
		`{"op":"subscribe","id":1,"topic":"a","after":"x"}`:            `"/after`,
		``:       `"the message is empty`,
		`[]`:     `"expected an object`,
		`null`:   `"expected an object`,
		`hello`:  `"code":"malformed_json"`,
		`{}{}`:   `"code":"malformed_json"`,
		`{"op":`: `"code":"malformed_json"`,
	} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(request)); err != nil {
			t.Fatal(err)
		}
		_, answer, err := conn.Read(ctx)
		if err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		var m SocketMessage
		if err := json.Unmarshal(answer, &m); err != nil || m.Op != "error" || m.Problem == nil || m.Problem.RequestID == "" || !strings.Contains(string(answer), want) {
			t.Errorf("%s is answered by %s", request, answer)
		}
	}
	for _, c := range []struct {
		kind  websocket.MessageType
		said  string
		close websocket.StatusCode
	}{
		{websocket.MessageText, `{"op":"` + strings.Repeat("x", maxMessage) + `"}`, websocket.StatusMessageTooBig},
		{websocket.MessageText, "{\"op\":\"ping\",\"id\":\"\xff\"}", websocket.StatusInvalidFramePayloadData},
		{websocket.MessageBinary, `{"op":"ping"}`, websocket.StatusUnsupportedData},
	} {
		conn, ctx := r.dial(nil)
		if err := conn.Write(ctx, c.kind, []byte(c.said)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != c.close {
			t.Errorf("%.20q is closed with %v", c.said, err)
		}
	}
}
