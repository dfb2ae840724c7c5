package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
)

// everyCode makes each code come about in the server, most of them by plain requests.
var everyCode = map[Code]func(t *testing.T) answer{
	CodeMalformedJSON:    func(t *testing.T) answer { return newRig(t, Config{}).post("/v1/tasks", "{") },
	CodeBadCursor:        func(t *testing.T) answer { return newRig(t, Config{}).get("/v1/tasks?cursor=x") },
	CodeUnauthorized:     func(t *testing.T) answer { return newRig(t, Config{Token: secret}).get("/version") },
	CodeForbidden:        func(t *testing.T) answer { return newRig(t, Config{}).post("/v1/tasks", "{}", "Origin", "null") },
	CodeNotFound:         func(t *testing.T) answer { return newRig(t, Config{}).get("/v2") },
	CodeUpgradeRequired:  func(t *testing.T) answer { return newRig(t, Config{}).get("/v1/ws") },
	CodeMethodNotAllowed: func(t *testing.T) answer { return newRig(t, Config{}).do("PUT", "/v1/tasks", "{}") },
	CodePayloadTooLarge: func(t *testing.T) answer {
		return newRig(t, Config{}).post("/v1/tasks", strings.Repeat(" ", maxBody+1))
	},
	CodeUnsupportedMediaType: func(t *testing.T) answer {
		return newRig(t, Config{}).post("/v1/tasks", "{}", "Content-Type", "text/csv")
	},
	CodeMisdirected:      func(t *testing.T) answer { return newRig(t, Config{}).get("/healthz", "Host", "example.org") },
	CodeValidationFailed: func(t *testing.T) answer { return newRig(t, Config{}).post("/v1/tasks", "{}") },
	CodeBadCron: func(t *testing.T) answer {
		return newRig(t, Config{}).do("PUT", "/v1/schedules/x", `{"kind":"x","expression":"x"}`)
	},
	CodeStateConflict: func(t *testing.T) answer {
		r := newRig(t, Config{})
		return r.post(r.submit(`{"kind":"x"}`).Links.Retry, "")
	},
	CodeLeaseLost: func(t *testing.T) answer {
		lease := scheduler.Lease{Task: scheduler.NewTaskID(), Queue: "q", Worker: scheduler.NewWorkerID(), Attempt: 1}
		return newRig(t, Config{}).post("/v1/leases/"+lease.Token()+"/complete", "")
	},
	CodeUniqueConflict: func(t *testing.T) answer {
		r := newRig(t, Config{})
		first := r.submit(`{"kind":"x","unique_key":"u"}`)
		r.post(first.Links.Cancel, "").want(200)
		r.submit(`{"kind":"x","unique_key":"u"}`)
		return r.post(first.Links.Retry, "")
	},
	CodeKeyReused: func(t *testing.T) answer {
		r := newRig(t, Config{})
		r.submit(`{"kind":"x"}`, "Idempotency-Key", "k")
		return r.post("/v1/tasks", `{"kind":"y"}`, "Idempotency-Key", "k")
	},
	CodeCursorExpired: func(t *testing.T) answer { // the data of an event
		s := newRig(t, Config{}).listen("/v1/topics/a/events?after=99.1")
		header := s.answer.Header.Clone()
		header.Set("Content-Type", "application/problem+json")
		return answer{t: t, status: 410, header: header, body: []byte(s.next().data)}
	},
	CodeRequestTimeout: stalledBody,
	CodeInternal: func(t *testing.T) answer {
		return newRig(t, Config{}, func(s *server) {
			s.mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("a bug") })
		}).get("/panic")
	},
	CodeWatchNotFound: func(t *testing.T) answer { return newRig(t, Config{}).get("/watch/x") },
	CodePreconditionFailed: func(t *testing.T) answer {
		r := newRig(t, Config{})
		return r.do("PATCH", r.submit(`{"kind":"k"}`).Links.Self, `{"priority":1}`, "If-Match", `"9"`)
	},
	CodeDatabaseUnavailable: func(t *testing.T) answer {
		r := newRig(t, Config{})
		r.client.Close()
		return r.get("/v1/queues")
	},
	CodeSchemaMismatch: func(t *testing.T) answer {
		r := newRig(t, Config{})
		r.exec("drop schema scheduler cascade")
		return r.get("/v1/tasks")
	},
	CodeTimeout: func(t *testing.T) answer {
		r := newRig(t, Config{}, func(s *server) { s.patience = 50 * time.Millisecond })
		lock := r.connect()
		t.Cleanup(func() { _ = lock.Close(context.WithoutCancel(t.Context())) })
		if _, err := lock.Exec(t.Context(), "begin; lock table scheduler.tasks"); err != nil {
			t.Fatal(err)
		}
		return r.post("/v1/tasks", `{"kind":"x"}`)
	},
}

// stalledBody is the answer to a request whose body never comes to its end.
func stalledBody(t *testing.T) answer {
	r := newRig(t, Config{}, func(s *server) { s.bodyWait = 50 * time.Millisecond })
	return r.raw("POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
}

// raw writes bytes on a connection and reads one answer.
func (r *rig) raw(request string) answer {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, request); err != nil {
		r.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return received(r.t, response)
}

func TestEveryCode(t *testing.T) {
	t.Parallel()
	for code := range codes {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			provoke := everyCode[code]
			if provoke == nil {
				t.Fatal("nothing here provokes it")
			}
			a := provoke(t)
			a.problem(code)
			wantsRetry := code == CodeDatabaseUnavailable || code == CodeTimeout
			if hasRetry := a.header.Get("Retry-After") != ""; hasRetry != wantsRetry {
				t.Errorf("Retry-After: %q", a.header.Get("Retry-After"))
			}
		})
	}
}

// TestEveryCodeIsDocumented holds docs/problems.md to the list, both ways, with the statuses.
func TestEveryCodeIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[Code]bool{}
	for _, heading := range regexp.MustCompile("(?m)^## ([a-z_]+)\n\n`(\\d+)`").FindAllStringSubmatch(string(page), -1) {
		code := Code(heading[1])
		documented[code] = true
		if known, ok := codes[code]; !ok || fmt.Sprint(known.status) != heading[2] {
			t.Errorf("docs/problems.md has %s with %s, the code has %d", code, heading[2], known.status)
		}
	}
	for code := range codes {
		if !documented[code] {
			t.Errorf("docs/problems.md has no heading for %s", code)
		}
	}
}

// TestProblemOfEveryError has each error of package scheduler that a request can meet.
func TestProblemOfEveryError(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx  context.Context
		err  error
		code Code
	}{
		{t.Context(), scheduler.ErrNotFound, CodeNotFound},
		{t.Context(), fmt.Errorf("retry: %w", scheduler.ErrKeyHeld), CodeUniqueConflict},
		{t.Context(), &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: "3.payload", Rule: "r"}}}, CodeValidationFailed},
		{t.Context(), &scheduler.CronError{Expression: "x"}, CodeBadCron},
		{t.Context(), &scheduler.KeyReusedError{Key: "k"}, CodeKeyReused},
		{t.Context(), &scheduler.StateError{State: scheduler.Completed}, CodeStateConflict},
		{t.Context(), &scheduler.SchemaError{Database: 1, Binary: 2}, CodeSchemaMismatch},
		{t.Context(), fmt.Errorf("list: %w", net.ErrClosed), CodeDatabaseUnavailable},
		{ended, fmt.Errorf("list: %w", context.Canceled), CodeTimeout},
		{ended, scheduler.ErrNotFound, CodeNotFound},
		{t.Context(), errors.New("a surprise"), CodeInternal},
		{t.Context(), newProblem(CodeBadCursor, "d"), CodeBadCursor},
	} {
		if p := problemOf(test.ctx, test.err); p.Code != test.code {
			t.Errorf("%v is %s, want %s", test.err, p.Code, test.code)
		}
	}
	p := problemOf(t.Context(), &scheduler.InvalidError{Fields: []scheduler.FieldError{{Field: "3.payload", Rule: "r"}}})
	if p.Errors[0].Pointer != "/3/payload" {
		t.Errorf("points at %s", p.Errors[0].Pointer)
	}
	if p := problemOf(t.Context(), errors.New("password=hunter2")); strings.Contains(p.Detail, "hunter2") {
		t.Error("an unexpected error is told to the client")
	}
}

// TestPanic is logged with its stack; one that comes after half an answer cuts the connection.
func TestPanic(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{}, func(s *server) {
		s.mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("a bug") })
		s.mux.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, "half")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			panic("a bug")
		})
	})
	r.get("/panic").problem(CodeInternal)
	if log := r.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, `err="a bug"`) || !strings.Contains(log, "problem_test.go") {
		t.Errorf("the log has no panic with its stack:\n%s", log)
	}
	response, err := http.Get(r.url + "/half")
	if err == nil {
		defer response.Body.Close()
		_, err = bufio.NewReader(response.Body).ReadString(0)
	}
	if err == nil || err.Error() == "EOF" {
		t.Errorf("half an answer looks like a whole one: %v", err)
	}
	r.get("/healthz").want(200)
}

// TestStalledBodyThatNobodyReads does not hold the connection for ever.
func TestStalledBodyThatNobodyReads(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret}, func(s *server) { s.bodyWait = 50 * time.Millisecond })
	r.raw("POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{").problem(CodeUnauthorized)
}

// TestOutage stops PostgreSQL under the server: it says so, stays alive, and recovers by itself.
func TestOutage(t *testing.T) {
	t.Parallel()
	database := pgtest.Server(t, nil)
	r := newRigOn(t, migrated(t, database.URL("scheduler")), Config{})
	before := r.submit(`{"kind":"x"}`)
	if err := database.Halt(); err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{"GET /readyz", "GET /v1/tasks", "GET " + before.Links.Self, "GET /v1/queues", "GET /v1/schedules", "POST " + before.Links.Cancel} {
		method, path, _ := strings.Cut(request, " ")
		if p := r.do(method, path, "").problem(CodeDatabaseUnavailable); strings.Contains(p.Detail, database.SocketDir()) {
			t.Errorf("%s tells where the database is: %s", request, p.Detail)
		}
	}
	r.post("/v1/tasks", `{"kind":"x"}`).problem(CodeDatabaseUnavailable)
	r.post("/v1/tasks/batch", `[{"kind":"x"}]`).problem(CodeDatabaseUnavailable)
	r.get("/healthz").want(200)
	r.get("/version").want(200)
	if err := database.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "it is ready after the database", func() bool { return r.get("/readyz").status == 200 })
	if got := r.get(before.Links.Self).want(200).task(); got.ID != before.ID {
		t.Errorf("%+v", got)
	}
	r.submit(`{"kind":"x"}`)
}

// TestReadyKnowsTheSchema: a database that was migrated down, or never up, is not ready.
func TestReadyKnowsTheSchema(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.get("/readyz").want(200)
	r.exec("delete from scheduler.goose_db_version where version_id = $1", scheduler.SchemaVersion)
	if p := r.get("/readyz").problem(CodeSchemaMismatch); !strings.Contains(p.Detail, "scheduler migrate up") {
		t.Errorf("the problem does not say how to mend it: %s", p.Detail)
	}
	r.exec("drop schema scheduler cascade")
	r.get("/readyz").problem(CodeSchemaMismatch)
	r.get("/healthz").want(200)
}
