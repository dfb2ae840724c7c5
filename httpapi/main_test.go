package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/migrations"
	"github.com/pgscheduler/scheduler/scheduler"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	if db := os.Getenv(serveNow); db != "" {
		serveUntilKilled(db, os.Getenv(serveToken))
		return
	}
	pgtest.Main(m, browser.Stop)
}

// rig is a served API over a database of its own.
type rig struct {
	t      *testing.T
	url    string
	web    *http.Client
	client *scheduler.Client
	server *server
	log    *record
	db     string // URL of the database
}

// newRig starts an API; with change its server can be altered before it answers.
func newRig(t *testing.T, config Config, change ...func(*server)) *rig {
	t.Helper()
	return newRigOn(t, pgtest.DB(t), config, change...)
}

func newRigOn(t *testing.T, db string, config Config, change ...func(*server)) *rig {
	t.Helper()
	client, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: db})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	log := &record{}
	config.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := newServer(client, config)
	if err != nil {
		t.Fatal(err)
	}
	s.patience = time.Minute // on a slow machine, too
	for _, change := range change {
		change(s)
	}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return &rig{t: t, url: web.URL, web: http.DefaultClient, client: client, server: s, log: log, db: db}
}

// record keeps what was logged.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// answer is a response with its body read.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// do sends a request; headers come as name, value, name, value. A header Host sets the host.
func (r *rig) do(method, path, body string, headers ...string) answer {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
			continue
		}
		request.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Content-Type" {
			request.Header.Set("Content-Type", headers[i+1])
		}
	}
	response, err := r.web.Do(request)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	a := received(r.t, response)
	documented(r, request, a)
	return a
}

func received(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{t: t, status: response.StatusCode, header: response.Header, body: raw}
}

// migrated migrates a database and returns its URL.
func migrated(t *testing.T, db string) string {
	t.Helper()
	if _, err := migrations.Up(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

func (r *rig) get(path string, headers ...string) answer {
	r.t.Helper()
	return r.do("GET", path, "", headers...)
}

func (r *rig) post(path, body string, headers ...string) answer {
	r.t.Helper()
	return r.do("POST", path, body, headers...)
}

// want ends the test unless the status is the one.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// problem returns the body of a problem with the code.
func (a answer) problem(code Code) Problem {
	a.t.Helper()
	p := read[Problem](a)
	if p.Code != code || a.status != codes[code].status || p.Status != a.status {
		a.t.Fatalf("status %d with %q, want %d with %q: %s", a.status, p.Code, codes[code].status, code, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("a problem came as %q", got)
	}
	if p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") || p.Title == "" || p.Detail == "" || !strings.HasSuffix(p.Type, "#"+string(code)) {
		a.t.Errorf("a problem is incomplete: %s", a.body)
	}
	return p
}

func read[T any](a answer) T {
	a.t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		a.t.Fatalf("%v in %q", err, a.body)
	}
	return v
}

func (a answer) task() Task { a.t.Helper(); return read[Task](a) }

// submit stores a task and returns it.
func (r *rig) submit(body string, headers ...string) Task {
	r.t.Helper()
	return r.post("/v1/tasks", body, headers...).want(202).task()
}

// exec runs SQL on a connection of its own; it makes states that take long to come about.
func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	conn := r.connect()
	defer conn.Close(context.WithoutCancel(r.t.Context()))
	if _, err := conn.Exec(r.t.Context(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) connect() *pgx.Conn {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.db)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// count counts rows.
func (r *rig) count(table string) (n int) {
	r.t.Helper()
	conn := r.connect()
	defer conn.Close(context.WithoutCancel(r.t.Context()))
	if err := conn.QueryRow(r.t.Context(), "select count(*) from "+pgx.Identifier{"scheduler", table}.Sanitize()).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// golden compares text with a file of testdata, or writes it with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what is sent (go test ./httpapi -update rewrites it):\n%s", file, diff)
	}
}
