package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
)

// serve runs Serve on a free port and returns how it ends.
func (r *rig) serve(ctx context.Context) (listener net.Listener, ended chan error) {
	r.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.url = "http://" + listener.Addr().String()
	ended = make(chan error, 1)
	go func() { ended <- Serve(ctx, listener, r.server, r.server.logger) }() // ends with ctx; the test receives
	return listener, ended
}

// TestServeDrains: a client that merely waits is answered at once, and then nobody is served any more.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	listener, ended := r.serve(ctx)
	r.get("/healthz").want(200)
	waited := make(chan answer, 1)
	go func() { waited <- r.post("/v1/tasks", `{"kind":"nobody.runs.this"}`, "Prefer", "wait=60") }() // received below
	await(t, "the task is stored", func() bool { return r.count("tasks") > 0 })
	stop()
	(<-waited).want(202)
	if err := <-ended; err != nil {
		t.Errorf("Serve returned %v", err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) { // its port may be another's by now
		t.Errorf("it still listens: %v", err)
	}
}

func TestServeBoundsHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	ctx, stop := context.WithCancel(t.Context())
	_, ended := r.serve(ctx)
	r.get("/healthz", "X-Big", strings.Repeat("x", 30<<10)).want(200)
	r.get("/healthz", "X-Big", strings.Repeat("x", 64<<10)).want(http.StatusRequestHeaderFieldsTooLarge)
	r.raw("GET /v1/tasks/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n").want(http.StatusBadRequest)
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestServeReturnsTheListenersError(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := Serve(t.Context(), listener, http.NotFoundHandler(), nil); err == nil {
		t.Error("no error for a closed listener")
	}
}
