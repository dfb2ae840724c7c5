package ui_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

func TestMain(m *testing.M) { pgtest.Main(m, browser.Stop) }

// rig is a database with two servers in front, as behind a balancer.
type rig struct {
	t      *testing.T
	db     string
	client *scheduler.Client
	one    string // URL
	two    string
	http   *http.Client // with a jar for cookies; it follows no redirect
	conn   *pgx.Conn    // of exec
}

func newRig(t *testing.T, token string) *rig {
	t.Helper()
	r := &rig{t: t, db: pgtest.DB(t)}
	r.client, r.one = r.serve(token)
	_, r.two = r.serve(token)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.http = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return r
}

// serve starts one server with a client of its own.
func (r *rig) serve(token string) (*scheduler.Client, string) {
	r.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	client, err := scheduler.Open(r.t.Context(), scheduler.Config{DatabaseURL: r.db, Logger: logger})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	handler, err := httpapi.New(client, httpapi.Config{Token: token, Version: "1.2.3", Logger: logger})
	if err != nil {
		r.t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	r.t.Cleanup(server.Close)
	return client, server.URL
}

// exec runs SQL past the client.
func (r *rig) exec(statement string, args ...any) {
	r.t.Helper()
	if r.conn == nil {
		conn, err := pgx.Connect(r.t.Context(), r.db)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(r.t.Context())) })
		r.conn = conn
	}
	if _, err := r.conn.Exec(r.t.Context(), statement, args...); err != nil {
		r.t.Fatal(err)
	}
}

// submit stores a task.
func (r *rig) submit(task scheduler.NewTask) scheduler.TaskID {
	r.t.Helper()
	s, err := r.client.Submit(r.t.Context(), task)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.ID
}

// state is that of a task in the database.
func (r *rig) state(id scheduler.TaskID) scheduler.State {
	r.t.Helper()
	task, err := r.client.Task(r.t.Context(), id)
	if errors.Is(err, scheduler.ErrNotFound) {
		return ""
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return task.State
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body string
}

func (r *rig) do(request *http.Request) answer {
	r.t.Helper()
	response, err := r.http.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{response, string(body)}
}

// get reads a page; headers come as name, value.
func (r *rig) get(path string, headers ...string) answer {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), "GET", r.one+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return r.do(request)
}

// post sends a form as a page of the server's own would; headers come as name, value.
func (r *rig) post(path string, form url.Values, headers ...string) answer {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), "POST", r.one+path, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return r.do(request)
}

// gates lets the test tell a handler when to go on.
type gates struct{ report, finish chan struct{} }

// work runs a worker until the test ends: demo.slow reports when it may, then finishes when it may; demo.fail fails for good; demo.echo logs and reports the lines of its payload.
func (r *rig) work() gates {
	r.t.Helper()
	g := gates{report: make(chan struct{}), finish: make(chan struct{})}
	registry := worker.NewRegistry()
	worker.Handle(registry, "demo.slow", func(ctx context.Context, task *worker.Task[map[string]any]) (string, error) {
		task.Log("began")
		if err := task.Report(10, 100, "a tenth"); err != nil {
			return "", err
		}
		for _, step := range []struct {
			gate    chan struct{}
			done    int64
			message string
		}{{g.report, 60, "more than half"}, {g.finish, 100, "all"}} {
			select {
			case <-step.gate:
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
			task.Log("%s", step.message)
			if err := task.Report(step.done, 100, step.message); err != nil {
				return "", err
			}
		}
		return "done", nil
	})
	worker.Handle(registry, "demo.fail", func(context.Context, *worker.Task[map[string]any]) (string, error) {
		return "", worker.Permanent(errors.New("the printer is on fire"))
	})
	worker.Handle(registry, "demo.echo", func(_ context.Context, task *worker.Task[struct{ Lines []string }]) ([]string, error) {
		for i, line := range task.Args.Lines {
			task.Log("%s", line)
			if err := task.Report(int64(i), int64(len(task.Args.Lines)), line); err != nil {
				return nil, err
			}
		}
		return task.Args.Lines, nil
	})
	w, err := worker.New(r.client, registry, worker.Config{Name: "web-7", Concurrency: 4, DrainTimeout: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	var done sync.WaitGroup
	done.Go(func() { _ = w.Run(ctx) }) // ends with ctx; the cleanup waits
	r.t.Cleanup(func() { cancel(); done.Wait() })
	return g
}

// maintain does what is due until the test ends.
func (r *rig) maintain() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	var done sync.WaitGroup
	done.Go(func() { _ = r.client.Maintain(ctx) }) // ends with ctx; the cleanup waits
	r.t.Cleanup(func() { cancel(); done.Wait() })
}

// await polls until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
