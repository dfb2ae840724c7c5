package ui_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestPagesStayLight: what a task carries is cut where it is long, and whole where the page says.
func TestPagesStayLight(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	long := map[string]string{"a": strings.Repeat("désolé ", 20_000), "end": "the very end"}
	id := r.submit(scheduler.NewTask{Kind: "report.generate", Payload: long})
	r.exec(`update scheduler.tasks set result = payload, progress_data = payload where id = $1`, id)
	r.exec(`insert into scheduler.task_logs (task_id, queue, attempt, message) select $1, 'default', 1, 'line ' || n || '.' from generate_series(1, 1500) n`, id)
	r.exec(`insert into scheduler.attempts (task_id, attempt, queue, kind, outcome, worker_id, started_at, error, stack)
		select $1, n, 'default', 'k', 'failed', gen_random_uuid(), now(), 'error ' || n || repeat('!', 60000), repeat('at main.go:1 ', 4000) from generate_series(1, 60) n`, id)
	page := r.get("/tasks/" + id.String())
	if len(page.body) > 450<<10 || strings.Contains(page.body, "the very end") {
		t.Errorf("the page has %d KiB", len(page.body)>>10)
	}
	for _, part := range []string{"payload", "result", "data"} {
		path := "/tasks/" + id.String() + "/" + part
		if !strings.Contains(page.body, `<a href="`+path+`">All of it</a>`) {
			t.Errorf("no link to %s", part)
		}
		if a := r.get(path); a.StatusCode != 200 || !strings.Contains(a.body, "the very end") || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", part, a.StatusCode, a.Header)
		}
	}
	if a := r.get("/tasks/" + id.String() + "?edit=1"); !strings.Contains(a.body, "the very end") {
		t.Error("the form that was asked for has no payload")
	}
	for _, path := range []string{"/error", "/payload/x", "/%00"} {
		if a := r.get("/tasks/" + id.String() + path); a.StatusCode != 404 {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	if a := r.get("/tasks/" + scheduler.NewTaskID().String() + "/payload"); a.StatusCode != 404 || !strings.Contains(a.body, "There is no such task") {
		t.Errorf("of no task: %d", a.StatusCode)
	}

	// The log: its end, and for a page that reads itself again what came since.
	if !strings.Contains(page.body, "line 1500.") || strings.Contains(page.body, "line 500.") || !strings.Contains(page.body, "/v1/tasks/"+id.String()+"/logs") {
		t.Error("not the last 1000 lines")
	}
	lines := regexp.MustCompile(`data-line="(\d+)"><time`).FindAllStringSubmatch(page.body, -1)
	if len(lines) != 1000 {
		t.Fatalf("%d lines", len(lines))
	}
	again := r.get("/tasks/"+id.String(), "X-Refresh", lines[997][1])
	if n := strings.Count(again.body, "line 1"); n != 2 || !strings.Contains(again.body, "line 1500.") {
		t.Errorf("%d lines again", n)
	}
	if again := r.get("/tasks/"+id.String(), "X-Refresh", lines[999][1]); !strings.Contains(again.body, fmt.Sprintf(`data-line="%s"`, lines[999][1])) {
		t.Error("the page forgot which line was the last")
	}
}

// TestFilesAreKept: what a page needs besides itself is fetched once; pages travel by gzip.
func TestFilesAreKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	page := r.get("/events")
	found := regexp.MustCompile(`"(/static/[^"]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(found) != 4 { // the icon twice
		t.Errorf("%d files", len(found))
	}
	for _, file := range found {
		a := r.get(file[1])
		if a.StatusCode != 200 || a.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d %v", file[1], a.StatusCode, a.Header)
		}
		path, _, _ := strings.Cut(file[1], "?")
		if a := r.get(path + "?v=old"); a.StatusCode != 200 || strings.Contains(a.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s of another version: %v", path, a.Header)
		}
	}
	for _, path := range []string{"/events", "/events.json", found[1][1]} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", r.one+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", "gzip")
		a := r.do(request)
		if a.Header.Get("Content-Encoding") != "gzip" {
			if path == "/events.json" { // short
				continue
			}
			t.Fatalf("%s: %v", path, a.Header)
		}
		z, err := gzip.NewReader(strings.NewReader(a.body))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(z); err != nil || len(plain) < 2*len(a.body) || a.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %d bytes of %d, %v", path, len(a.body), len(plain), err)
		}
	}
}

// TestWeight: a page with a lot on it is small on the wire, and needs three files besides, once. With -v it says how small.
func TestWeight(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	history := r.scene()
	weigh := func(path string) (plain, zipped int) {
		return len(r.get(path, "Accept-Encoding", "identity").body), len(r.get(path, "Accept-Encoding", "gzip").body)
	}
	for _, path := range append([]string{"/tasks/" + history.String(), "/tasks/new"}, paths...) {
		plain, zipped := weigh(path)
		t.Logf("| `%s` | %.1f KiB | %.1f KiB |", strings.Replace(path, history.String(), "ID", 1), float64(plain)/1024, float64(zipped)/1024)
		if zipped > 12<<10 {
			t.Errorf("%s: %d bytes", path, zipped)
		}
	}
	sum := 0
	for _, path := range []string{"/static/app.css", "/static/app.js", "/static/icon.svg"} {
		plain, zipped := weigh(path)
		t.Logf("| `%s` | %.1f KiB | %.1f KiB |", path, float64(plain)/1024, float64(zipped)/1024)
		sum += zipped
	}
	if sum > 20<<10 {
		t.Errorf("the files have %d bytes", sum)
	}
}

// TestTitles: a tab tells how things are.
func TestTitles(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	if a := r.get("/"); !strings.Contains(a.body, "<title>Overview · scheduler</title>") {
		t.Error("all is well")
	}
	r.endpoints()
	if a := r.get("/"); !strings.Contains(a.body, "<title>⚠ Endpoint legacy has failed for ") || !strings.Contains(a.body, "502 Bad Gateway: upstream php-fpm is not there.") || strings.Contains(a.body, "Endpoint billing") {
		t.Error(a.body[:800])
	}
	ids := r.states()
	for name, want := range map[string]string{"running": "37 % · report.generate ", "failed": "failed · " + longKind, "indeterminate": "running · "} {
		if a := r.get("/tasks/" + ids[name].String()); !strings.Contains(a.body, "<title>"+want) {
			t.Errorf("%s: %s", name, a.body[:400])
		}
	}
}
