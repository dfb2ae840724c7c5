package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// A client that has closed its side of the connection behind the request is answered, and without waiting for what it asked to wait for.
func TestHalfClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	id := r.submit(`{"kind":"nobody.runs.this"}`).ID
	for _, c := range []struct {
		request, body string
		status        int
	}{
		{"POST /v1/tasks", `{"kind":"k"}`, 202},
		{"POST /v1/tasks", `{"kind":"k","idempotency_key":"a"}`, 202},
		{"POST /v1/tasks/batch", `[{"kind":"k"}]`, 202},
		{"POST /v1/topics/a/publish", ``, 202},
		{"GET /v1/tasks/" + id, ``, 200},
		{"GET /v1/tasks", ``, 200},
		{"POST /v1/tasks/" + id + "/cancel", ``, 200},
		{"GET /readyz", ``, 200},
	} {
		for range 5 { // it is a race with the answer
			if got := r.halfClosed(c.request, c.body, ""); got.StatusCode != c.status {
				t.Errorf("%s: %s", c.request, got.Status)
			}
			if c.status == 200 && strings.HasPrefix(c.request, "POST") {
				break // it is cancelled only once
			}
		}
	}
	waiting := r.submit(`{"kind":"nobody.runs.this"}`).ID
	for request, body := range map[string]string{"POST /v1/tasks": `{"kind":"nobody.runs.this"}`, "GET /v1/tasks/" + waiting: ""} {
		if got := r.halfClosed(request, body, "Prefer: wait=60\r\n"); got.StatusCode > 202 {
			t.Errorf("%s with a wait: %s", request, got.Status)
		}
	}
}

// halfClosed sends a request, closes its side of the connection, and reads the answer.
func (r *rig) halfClosed(request, body, header string) *http.Response {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, request+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n"+header+"\r\n"+body)
	if err == nil {
		err = conn.(*net.TCPConn).CloseWrite()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return response
}
