package ui_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
)

// TestJSON: every page is JSON at the same address, with things as the API shows them.
func TestJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.scene()
	for _, path := range append([]string{"/tasks/" + id.String()}, paths...) {
		if path == "/" {
			path = "/index"
		}
		a := r.get(path + ".json")
		var v map[string]any
		if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" || len(v) == 0 {
			t.Errorf("%s.json: %d, %v", path, a.StatusCode, err)
		}
	}
	var page struct {
		Items []map[string]any
		Next  string
	}
	if err := json.Unmarshal([]byte(r.get("/tasks.json?state=completed").body), &page); err != nil || len(page.Items) != 50 || page.Items[0]["links"] == nil {
		t.Errorf("%v, %d items", err, len(page.Items))
	}
	if !strings.HasPrefix(page.Next, "/tasks.json?") || r.get(page.Next).StatusCode != 200 {
		t.Errorf("next is %q", page.Next)
	}
	if a := r.get("/tasks/" + scheduler.NewTaskID().String() + ".json"); a.StatusCode != 404 || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("no such task: %d %s", a.StatusCode, a.body)
	}
}

// TestPagesSayWhatIsWrong: bad filters and forms are answered in words, with the status of the API.
func TestPagesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for path, status := range map[string]int{"/tasks?state=nonsense": 422, "/tasks?before=x": 422, "/tasks?since=yesterday": 422, "/tasks?text=" + strings.Repeat("x", 201): 422,
		"/tasks/x": 404, "/tasks/x/y": 404, "/dead?before=x": 422, "/settings/x": 404, "/topics?topic=a.*": 422, "/topics?after=%00": 422, "/tasks?queue=%00": 200} {
		if a := r.get(path); a.StatusCode != status || !strings.Contains(a.body, "<h1") {
			t.Errorf("%s: %d, want %d", path, a.StatusCode, status)
		}
	}
	for path, form := range map[string]url.Values{"/tasks/act": {"do": {"explode"}, "id": {"x"}}, "/queues/act": {"do": {"x"}}, "/schedules/act": {"do": {"x"}}, "/topics/act": {"do": {"x"}},
		"/workers/act": {"do": {"x"}, "id": {scheduler.NewWorkerID().String()}}, "/tasks/bulk": {"do": {"x"}, "filter": {"state=failed"}}, "/tasks/edit": {"id": {"x"}}} {
		if a := r.post(path, form); a.StatusCode < 400 || a.StatusCode >= 500 {
			t.Errorf("POST %s %v: %d", path, form, a.StatusCode)
		}
	}
	if a := r.post("/tasks/bulk", url.Values{"do": {"delete"}, "filter": {"state=ready"}}); a.StatusCode != 422 {
		t.Errorf("a bulk that does nothing: %d", a.StatusCode)
	}
	if a := r.post("/tasks/act", url.Values{"do": {"retry"}, "back": {"/tasks?state=failed"}}); a.StatusCode != 303 || a.Header.Get("Location") != "/tasks?state=failed" {
		t.Errorf("nothing selected: %d %v", a.StatusCode, a.Header)
	}
}

// TestActorIsTheSession: who signed in stands in the audit, whatever else the request says.
func TestActorIsTheSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, token)
	id := r.submit(scheduler.NewTask{Kind: "k"})
	r.post("/login", url.Values{"token": {token}, "name": {"Ada"}})
	r.post("/tasks/act", url.Values{"do": {"cancel"}, "id": {id.String()}, "reason": {"why not"}}, "X-Scheduler-Actor", "Eve")
	list, _, err := r.client.Audit(t.Context(), scheduler.AuditFilter{Task: id})
	if err != nil || len(list) != 1 || list[0].Actor != "Ada" || list[0].Verb != "cancel" {
		t.Errorf("%+v, %v", list, err)
	}
	if a := r.get("/tasks/" + id.String()); !strings.Contains(a.body, "<strong>Ada</strong>: cancel") || !strings.Contains(a.body, "why not") {
		t.Error("the page does not say who cancelled it")
	}
}

// TestWithoutScript: pages are whole before any script runs, and read themselves again where nothing can be typed or selected.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.scene()
	a := r.get("/tasks/" + id.String())
	for path, again := range map[string]bool{"/": true, "/queues": true, "/workers": true, "/events": true, "/tasks": false, "/dead": false, "/schedules": false,
		"/tasks/" + id.String(): false} {
		if got := strings.Contains(r.get(path).body, `<noscript><meta http-equiv="refresh"`); got != again {
			t.Errorf("%s reads itself again: %v", path, got)
		}
	}
	for _, part := range []string{`report_id`, `rendering page 29 of 30`, `goroutine 41`, `>Run now</button>`, `Attempt 3`, `retry_backoff`} {
		if !strings.Contains(a.body, part) {
			t.Errorf("the page of a task lacks %q", part)
		}
	}
	for _, part := range []string{"Queue pdf: the oldest task has waited for", "No live worker takes from queue pdf.", "completed and"} {
		if a := r.get("/"); !strings.Contains(a.body, part) {
			t.Errorf("the overview lacks %q", part)
		}
	}
}
