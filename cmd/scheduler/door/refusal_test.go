package door

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

const someID = "01a1fbc0-c975-7f37-a6be-a8f3e8777fbf"

// answering is a door to a server that always gives one answer.
func answering(t *testing.T, status int, body string) Door {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client may be gone
	}))
	t.Cleanup(server.Close)
	d, err := HTTP(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// Every code of the closed list has an error that a command knows what to do with.
func TestProblemsBecomeErrors(t *testing.T) {
	t.Parallel()
	for code, want := range map[httpapi.Code]error{
		httpapi.CodeMalformedJSON: scheduler.ErrInvalid, httpapi.CodeBadCursor: scheduler.ErrInvalid, httpapi.CodeValidationFailed: scheduler.ErrInvalid,
		httpapi.CodeBadCron: scheduler.ErrInvalid, httpapi.CodePayloadTooLarge: scheduler.ErrInvalid, httpapi.CodeNotFound: scheduler.ErrNotFound,
		httpapi.CodeUniqueConflict: scheduler.ErrKeyHeld, httpapi.CodePreconditionFailed: scheduler.ErrRevision, httpapi.CodeUnauthorized: ErrUnauthorized, httpapi.CodeForbidden: ErrUnauthorized,
		httpapi.CodeMisdirected: ErrUnauthorized, httpapi.CodeSchemaMismatch: scheduler.ErrSchema, httpapi.CodeDatabaseUnavailable: ErrUnreachable,
		httpapi.CodeTimeout: ErrUnreachable, httpapi.CodeRequestTimeout: ErrUnreachable, httpapi.CodeInternal: errServer,
		httpapi.CodeMethodNotAllowed: errServer, httpapi.CodeUnsupportedMediaType: errServer, "new_code": errServer,
	} {
		d := answering(t, 400, `{"code":"`+string(code)+`","detail":"what happened","request_id":"r1"}`)
		_, err := d.Task(t.Context(), someID)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "what happened") {
			t.Errorf("%s: %v", code, err)
		}
		if want == errServer && !strings.Contains(err.Error(), "r1") {
			t.Errorf("%s: %v does not name the request", code, err)
		}
	}
}

func TestProblemsWithParts(t *testing.T) {
	t.Parallel()
	var state *scheduler.StateError
	_, err := answering(t, 409, `{"code":"state_conflict","detail":"d","task_id":"`+someID+`","state":"running"}`).Retry(t.Context(), someID)
	if !errors.As(err, &state) || state.State != scheduler.Running || state.Task.String() != someID {
		t.Errorf("state: %v", err)
	}
	var reused *scheduler.KeyReusedError
	_, err = answering(t, 422, `{"code":"idempotency_key_reused","detail":"d","task_id":"`+someID+`"}`).Submit(t.Context(), httpapi.SubmitRequest{})
	if !errors.As(err, &reused) || reused.Task.String() != someID || err.Error() != "d" {
		t.Errorf("reused: %v", err)
	}
	var field *scheduler.InvalidError
	_, err = answering(t, 422, `{"code":"validation_failed","detail":"d","errors":[{"pointer":"/3/payload","detail":"a"},{"parameter":"limit","detail":"b"},{"detail":"c"}]}`).Submit(t.Context(), httpapi.SubmitRequest{})
	if !errors.As(err, &field) || err.Error() != "invalid 3.payload: a; limit: b; request: c" {
		t.Errorf("fields: %v", err)
	}
}

func TestStrangers(t *testing.T) {
	t.Parallel()
	for body, status := range map[string]int{"<html>": 200, "": 502, `{"code":""}`: 404, "null and void": 500, `{}x`: 200, "moved": 302} {
		if _, err := answering(t, status, body).Queues(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "is no scheduler server") {
			t.Errorf("%d %q: %v", status, body, err)
		}
	}
}

// Names are steps of paths and stay what they are, whatever is in them.
func TestNamesInPaths(t *testing.T) {
	t.Parallel()
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.EscapedPath() + " " + r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{"items":[]}`)) // the client may be gone
	}))
	defer server.Close()
	for base, prefix := range map[string]string{"": "", "/": "", "/v1": "", "/v1/": "", "/behind/a/proxy": "/behind/a/proxy", "/p/v1?x=y#z": "/p"} {
		d, err := HTTP(server.URL+base, "t")
		if err != nil {
			t.Fatal(err)
		}
		for name, step := range map[string]string{"nightly": "nightly", "a/b": "a%2Fb", "ä b?c#d%": "%C3%A4%20b%3Fc%23d%25"} {
			if _, err := d.Next(t.Context(), name, 1); err != nil {
				t.Error(err)
			}
			if want := "GET " + prefix + "/v1/schedules/" + step + "/next Bearer t"; asked != want {
				t.Errorf("%q, %q: %q, want %q", base, name, asked, want)
			}
		}
		for _, name := range []string{"", ".", ".."} {
			asked = ""
			if err := d.DeleteSchedule(t.Context(), name); !errors.Is(err, scheduler.ErrInvalid) || asked != "" {
				t.Errorf("%q: %v, asked %q", name, err, asked)
			}
		}
		d.Close()
	}
}

func TestBadServerURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:8080", "ftp://x", "http://", "http://x:y", "://", "http://user:secret@"} {
		if _, err := HTTP(url, ""); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
