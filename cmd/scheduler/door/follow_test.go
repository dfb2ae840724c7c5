package door

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/scheduler"
)

const followedID = "01a1fbc0-c975-7f37-a6be-a8f3e8777fbf"

// follow collects what a server tells, each event as one word or two.
func follow(t *testing.T, handler http.HandlerFunc, from From) (told []string, err error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	d, err := HTTP(server.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for event, err := range d.Follow(ctx, followedID, from) {
		if err != nil {
			return told, err
		}
		if event.Missed {
			told = append(told, "missed")
		}
		for _, line := range event.Lines {
			told = append(told, "line "+line.Message)
		}
		if event.Task != nil {
			told = append(told, event.Task.State)
		}
	}
	if ctx.Err() != nil {
		t.Error("it went on")
	}
	return told, nil
}

func taskJSON(state string, revision int) string {
	raw, _ := json.Marshal(httpapi.Task{ID: followedID, State: state, Done: state == "completed", Revision: int64(revision)}) // it is what is sent
	return string(raw)
}

func lineJSON(id int) string {
	return fmt.Sprintf(`{"task":%q,"id":%d,"attempt":1,"at":"2026-11-21T12:00:00Z","stream":"log","message":"l%d"}`, followedID, id, id)
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":%q}`, status, code, detail) //nolint:errcheck // the test sees it
}

// A stream that breaks is taken up where it broke, whatever lies between.
func TestStreamIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	visits := 0
	var asked []string
	told, err := follow(t, func(w http.ResponseWriter, r *http.Request) {
		visits++
		asked = append(asked, r.Header.Get("Last-Event-ID"))
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%v", r.Header)
		}
		if visits == 2 {
			problem(w, 503, "database_unavailable", "away")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		if visits == 1 {
			_, _ = fmt.Fprintf(w, "retry: 2000\n\n:\n\nevent: task\nid: 3\ndata: %s\n\nevent: log\nid: 3.7\ndata: %s\n\nevent: task\nid: 4\ndata: {\"half", taskJSON("running", 3), lineJSON(7))
			return
		}
		_, _ = fmt.Fprintf(w, "event: gap\nid: 3.7\ndata: {}\n\nevent: news\ndata: ?\n\nevent: log\nid: 3.9\ndata: %s\n\nevent: task\nid: 4.9\ndata: %s\n\nevent: end\nid: 4.9\ndata: {}\n\n",
			lineJSON(9), taskJSON("completed", 4))
	}, From{Lines: true, After: 5})
	if err != nil || !slices.Equal(told, []string{"running", "line l7", "missed", "line l9", "completed"}) {
		t.Errorf("%v, %q", err, told)
	}
	if !slices.Equal(asked, []string{"0.5", "3.7", "3.7"}) {
		t.Errorf("asked for %q", asked)
	}
}

// A server that has no streams is polled.
func TestOlderServerIsPolled(t *testing.T) {
	t.Parallel()
	reads := 0
	told, err := follow(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch _, what, _ := strings.Cut(r.URL.Path, followedID); what {
		case "":
			if reads++; reads < 3 {
				_, _ = fmt.Fprint(w, taskJSON("running", 1))
			} else {
				_, _ = fmt.Fprint(w, taskJSON("completed", 2))
			}
		case "/logs":
			if r.URL.Query().Get("after") == "0" {
				_, _ = fmt.Fprintf(w, `{"items":[%s]}`, lineJSON(1))
			} else {
				_, _ = fmt.Fprint(w, `{"items":[]}`)
			}
		default:
			problem(w, 404, "not_found", "there is nothing at this path")
		}
	}, From{Lines: true})
	if err != nil || !slices.Equal(told, []string{"line l1", "running", "completed"}) {
		t.Errorf("%v, %q", err, told)
	}
}

func TestFollowingWhatCannotBe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"unknown task": {func(w http.ResponseWriter, _ *http.Request) { problem(w, 404, "not_found", "no such task") }, scheduler.ErrNotFound},
		"no token":     {func(w http.ResponseWriter, _ *http.Request) { problem(w, 401, "unauthorized", "token") }, ErrUnauthorized},
		"deleted": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprint(w, "event: gone\nid: 1\ndata: {}\n\n")
		}, scheduler.ErrNotFound},
	} {
		if told, err := follow(t, test.answer, From{}); !errors.Is(err, test.want) || told != nil {
			t.Errorf("%s: %v, %q", name, err, told)
		}
	}
}

// A task of which all was told is read once more, so that it is known to be done.
func TestStreamWithNothingToTell(t *testing.T) {
	t.Parallel()
	told, err := follow(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = fmt.Fprint(w, taskJSON("completed", 2))
	}, From{Lines: true, After: 1})
	if err != nil || !slices.Equal(told, []string{"completed"}) {
		t.Errorf("%v, %q", err, told)
	}
}

func TestReadEvent(t *testing.T) {
	t.Parallel()
	r := bufio.NewReader(strings.NewReader("id: 1\n\n: c\n\nevent:task\r\nid: 2\r\ndata: a\r\ndata:b\r\n\r\ndata: c\n"))
	lines := 0
	name, id, data, err := readEvent(r, func() { lines++ })
	if name != "" || id != "1" || data != "" || err != nil {
		t.Errorf("an id alone is %q %q %q %v", name, id, data, err)
	}
	name, id, data, err = readEvent(r, func() { lines++ })
	if name != "task" || id != "2" || data != "a\nb" || err != nil || lines != 9 {
		t.Errorf("%q %q %q %v, %d lines", name, id, data, err, lines)
	}
	if _, _, _, err := readEvent(r, func() {}); err == nil {
		t.Error("an event without an end was read")
	}
}
