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
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	r.t.Cleanup(cancel)
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
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusUnsupportedData {
		t.Errorf("closed with %v", err)
	}
}

func freshID() string { return scheduler.NewTaskID().String() }

// Pages of other origins open no socket; one that says too much at once is closed.
func TestSocketRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	_, answer, err := websocket.Dial(t.Context(), strings.Replace(r.url, "http", "ws", 1)+"/v1/ws",
		&websocket.DialOptions{HTTPHeader: map[string][]string{"Origin": {"https://elsewhere.example"}}})
	if err == nil || answer == nil || answer.StatusCode != 403 {
		t.Errorf("from elsewhere: %v", err)
	}
	r.get("/v1/ws").want(426)
	conn, ctx := r.dial(nil)
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"op":"`+strings.Repeat("x", maxMessage)+`"}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("closed with %v", err)
	}
}
