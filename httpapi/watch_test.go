package httpapi

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/httpapi/asset"
	"github.com/pgscheduler/scheduler/scheduler"
)

const asBrowser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

// watch makes a watch URL of a task.
func (r *rig) watch(id string) Watch {
	r.t.Helper()
	return read[Watch](r.post("/v1/tasks/"+id+"/watch", "", "Authorization", "Bearer "+secret).want(201))
}

func (a answer) watched() WatchedTask { a.t.Helper(); return read[WatchedTask](a) }

func TestWatchOnSubmit(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.server.clock = func() time.Time { return time.Unix(1_800_000_000, 1) }
	expires := func(link string) int64 {
		t.Helper()
		granted, err := r.server.keys.read(strings.TrimPrefix(link, "/watch/"), r.server.clock())
		if err != nil || !strings.HasPrefix(link, "/watch/") || granted.shows != 0 {
			t.Fatalf("%q: %+v, %v", link, granted, err)
		}
		return granted.expires.Unix() - 1_800_000_000
	}
	a := r.post("/v1/tasks", `{"kind":"k","watch":true}`, "Idempotency-Key", "one").want(202)
	task := a.task()
	if got := expires(task.Links.Watch); got != 86401 || a.header.Get("Location") != task.Links.Self {
		t.Errorf("valid for %d s, at %s", got, a.header.Get("Location"))
	}
	if got := r.get(task.Links.Watch).want(200).watched(); got.ID != task.ID || got.State != "ready" || got.Progress != nil || got.Error != nil {
		t.Errorf("%+v", got)
	}
	again := r.post("/v1/tasks", `{"kind":"k","watch":true,"watch_ttl_ms":1000}`, "Idempotency-Key", "one").want(202).task()
	if again.ID != task.ID || expires(again.Links.Watch) != 2 {
		t.Errorf("a replay: %+v", again.Links)
	}
	for _, body := range []string{`{"kind":"k"}`, `{"kind":"k","watch":false}`, `{"kind":"k","watch":null}`} {
		if a := r.post("/v1/tasks", body).want(202); strings.Contains(string(a.body), `"watch"`) {
			t.Errorf("%s is answered by %s", body, a.body)
		}
	}
	for body, where := range map[string]string{`{"kind":"k","watch_ttl_ms":5000}`: "/watch_ttl_ms", `{"kind":"k","watch":true,"watch_ttl_ms":2592000001}`: "/watch_ttl_ms",
		`{"kind":"k","watch":true,"watch_ttl_ms":999}`: "/watch_ttl_ms", `{"kind":"k","watch":1}`: "/watch", `{"kind":"k","watch":"true"}`: "/watch"} {
		if p := r.post("/v1/tasks", body).problem(CodeValidationFailed); p.Errors[0].Pointer != where {
			t.Errorf("%s: %+v", body, p.Errors)
		}
	}
	batch := read[Page[Submitted]](r.post("/v1/tasks/batch", `[{"kind":"k","watch":true},{"kind":"k"},{"kind":"k","watch":true,"watch_ttl_ms":60000}]`).want(202))
	if expires(batch.Items[0].Watch) != 86401 || batch.Items[1].Watch != "" || expires(batch.Items[2].Watch) != 61 {
		t.Errorf("%+v", batch.Items)
	}
	if got := r.get(batch.Items[2].Watch).want(200).watched(); got.ID != batch.Items[2].ID {
		t.Errorf("%+v", got)
	}
	lines := strings.Split(string(r.post("/v1/tasks/batch", "{\"kind\":\"k\",\"watch\":true}\n{\"kind\":\"k\"}\n{\"kind\":\"\"}\n", "Content-Type", mediaNDJSON).want(202).body), "\n")
	var first Submitted
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || expires(first.Watch) != 86401 || strings.Contains(lines[1], "watch") || !strings.Contains(lines[2], "/kind") {
		t.Errorf("%v: %q", err, lines)
	}
}

func TestMintWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret})
	bearer := []string{"Authorization", "Bearer " + secret}
	task := r.submit(`{"kind":"k"}`, bearer...)
	path := "/v1/tasks/" + task.ID + "/watch"
	r.server.clock = func() time.Time { return time.Unix(1_800_000_000, 0) }
	a := r.post(path, `{"ttl_ms":60000}`, bearer...).want(201)
	w := read[Watch](a)
	if w.URL != "/watch/"+w.Token || a.header.Get("Location") != w.URL || w.ExpiresAt.Unix() != 1_800_000_060 {
		t.Errorf("%+v at %s", w, a.header.Get("Location"))
	}
	conforms(t, r.server, "POST", path, a)
	conforms(t, r.server, "GET", w.URL, r.get(w.URL).want(200))
	if day := read[Watch](r.post(path, "", bearer...).want(201)); day.ExpiresAt.Unix() != 1_800_086_400 {
		t.Errorf("%+v", day)
	}
	for body, code := range map[string]Code{`{"ttl_ms":0}`: CodeValidationFailed, `{"ttl_ms":2592000001}`: CodeValidationFailed, `{"x":1}`: CodeValidationFailed, `{`: CodeMalformedJSON} {
		r.post(path, body, bearer...).problem(code)
	}
	r.post("/v1/tasks/"+unknownID+"/watch", "", bearer...).problem(CodeNotFound)
	r.post(path, "").problem(CodeUnauthorized)
	// A watch URL opens nothing but itself.
	for _, request := range []string{"POST " + w.URL, "DELETE " + w.URL, "POST " + w.URL + "/cancel", "GET " + w.URL + "/logs", "PUT " + w.URL + "/events"} {
		method, path, _ := strings.Cut(request, " ")
		if a := r.do(method, path, ""); a.status != 404 && a.status != 405 {
			t.Errorf("%s: %d %s", request, a.status, a.body)
		}
	}
	r.get("/v1/tasks/"+task.ID, "Authorization", "Bearer "+w.Token).problem(CodeUnauthorized)
	for _, sneaky := range []string{"/watch/../v1/tasks", "/watch/%2e%2e/v1/tasks", "/watch/x/../../v1/tasks", "/watch//v1/tasks", "/watch", "/watch/", "/watch.js/x", "//watch/x"} {
		if a := r.get(sneaky); a.status == 200 {
			t.Errorf("%s without a token: %d %s", sneaky, a.status, a.body)
		}
	}
}

// TestWatchLinksThatShowNothing: whatever is wrong with a link, the answer is the same.
func TestWatchLinksThatShowNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret})
	other, err := newWatchKeys(Config{})
	if err != nil {
		t.Fatal(err)
	}
	task := r.submit(`{"kind":"k"}`, "Authorization", "Bearer "+secret)
	gone := r.submit(`{"kind":"k"}`, "Authorization", "Bearer "+secret)
	id, _ := scheduler.ParseTaskID(task.ID)
	good := r.watch(task.ID).Token
	links := map[string]string{
		"expired":               r.server.keys.first.Mint(id, time.Now().Add(-time.Second)),
		"another key":           other.first.Mint(id, time.Now().Add(time.Hour)),
		"cut":                   good[:len(good)-1],
		"changed":               strings.Replace(good, good[30:31], map[bool]string{true: "B", false: "A"}[good[30] == 'A'], 1),
		"a task that never was": r.server.keys.first.Mint(scheduler.NewTaskID(), time.Now().Add(time.Hour)),
		"a task that is gone":   r.watch(gone.ID).Token,
		"nonsense":              "x",
		"long":                  strings.Repeat("A", 5000),
		"task's id":             task.ID,
	}
	r.exec(`delete from scheduler.tasks where id = $1`, gone.ID)
	var first string
	for name, token := range links {
		for _, path := range []string{"/watch/" + token, "/watch/" + token + "/events"} {
			p := r.get(path).problem(CodeWatchNotFound)
			if first = max(first, p.Detail); p.Detail != first || p.TaskID != "" {
				t.Errorf("%s is told apart: %+v", name, p)
			}
		}
		a := r.get("/watch/"+token, "Accept", asBrowser).want(404)
		if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.Contains(string(a.body), "The link shows nothing") {
			t.Errorf("%s: a person sees %s", name, a.body)
		}
	}
	r.get("/watch/" + good).want(200)
}

// TestWatchExpires: an open stream ends with its token.
func TestWatchExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.submit(`{"kind":"k","watch":true}`)
	granted, err := r.server.keys.read(strings.TrimPrefix(task.Links.Watch, "/watch/"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	until := granted.expires
	for left := 200 * time.Millisecond; ; left *= 2 { // until there is time for the snapshot, on a slow machine too
		r.server.clock = func() time.Time { return until.Add(-left) }
		s := r.listen(task.Links.Watch + "/events")
		if all, err := s.lines.ReadString(0); !errors.Is(err, io.EOF) || strings.Count(all, "event:") > 1 {
			t.Errorf("the stream is %q, %v", all, err)
		} else if strings.Contains(all, "event: task") {
			break
		}
		if left > time.Minute {
			t.Fatal("the stream ends, but says nothing")
		}
	}
	r.server.clock = func() time.Time { return until }
	r.get(task.Links.Watch).problem(CodeWatchNotFound)
}

// secretTask is a task with a secret in each field that has room for one, in the state that it ends in.
func (r *rig) secretTask(fail bool) (task Task, link string) {
	r.t.Helper()
	ctx := r.t.Context()
	worker := scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), Name: "hush-worker", Host: "hush-host", PID: 1, Version: "hush-version",
		Queues: []scheduler.Queue{"hush-queue"}, Kinds: []string{"hush-kind"}, Slots: 4, TTL: time.Hour}
	if err := r.client.Register(ctx, worker); err != nil {
		r.t.Fatal(err)
	}
	key := "hush-" + scheduler.NewTaskID().String()
	task = r.submit(fmt.Sprintf(`{"kind":"hush-kind","queue":"hush-queue","payload":{"hush-name":"hush-payload"},"unique_key":"%s-u","idempotency_key":"%s-i","max_attempts":1,"watch":true}`, key, key))
	lease := r.lease(worker.ID, "hush-queue", "hush-kind")
	report := scheduler.Report{Lease: lease, Progress: scheduler.Progress{Current: 1, Total: 3, Message: "page 1 of 3", Data: json.RawMessage(`{"a":"hush-data"}`)}}
	if _, _, err := r.client.Report(ctx, []scheduler.Report{report}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.client.Log(ctx, []scheduler.Line{{Lease: lease, At: time.Now(), Stream: "stdout", Message: "hush-line"}}); err != nil {
		r.t.Fatal(err)
	}
	if fail {
		if _, err := r.client.Fail(ctx, lease, scheduler.Failure{Code: "error", Message: "hush-message", Stack: "hush-stack"}); err != nil {
			r.t.Fatal(err)
		}
	} else if err := r.client.Complete(ctx, lease, []byte(`{"a":"hush-result"}`)); err != nil {
		r.t.Fatal(err)
	}
	return task, task.Links.Watch
}

// TestWatchIsRedacted puts secrets everywhere and looks for them in every answer of a watch URL.
func TestWatchIsRedacted(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for _, fail := range []bool{false, true} {
		task, link := r.secretTask(fail)
		full := string(r.get(task.Links.Self).want(200).body) + string(r.get(task.Links.Attempts).body) + string(r.get(task.Links.Logs).body)
		for _, name := range []string{"hush-payload", "hush-data", "hush-line", "hush-kind", map[bool]string{true: "hush-stack", false: "hush-result"}[fail]} {
			if !strings.Contains(full, name) {
				t.Fatalf("the test hides no %s: %s", name, full)
			}
		}
		stream := r.listen(link + "/events")
		var events []string
		for _, e := range stream.until("end") {
			events = append(events, e.name+" "+e.id+" "+e.data)
		}
		for _, shown := range []string{
			string(r.get(link).want(200).body), string(r.get(link, "Prefer", "wait=1").want(200).body),
			string(r.get(link, "Accept", asBrowser).want(200).body), strings.Join(events, "\n"),
			fmt.Sprint(r.get(link).header, r.get(link, "Accept", asBrowser).header, stream.answer.Header),
		} {
			if strings.Contains(strings.ReplaceAll(shown, strings.TrimPrefix(link, "/watch/"), ""), "hush") { // a token may have any letters
				t.Errorf("a secret is shown: %s", shown)
			}
		}
		if got := strings.Join(events, "\n"); strings.Count(got, "task ") != 1 || strings.Contains(got, "log ") || !strings.Contains(got, "page 1 of 3") {
			t.Errorf("the stream is\n%s", got)
		}
		var members []string
		for name := range read[map[string]any](r.get(link)) {
			members = append(members, name)
		}
		slices.Sort(members)
		if got := strings.Join(members, " "); got != "created_at done error finished_at id progress revision run_at started_at state" {
			t.Errorf("a stranger sees %s", got)
		}
		if got := r.get(link).watched(); fail && (got.Error == nil || *got.Error != TaskError{"error", "It failed."}) || !fail && got.Error != nil {
			t.Errorf("the error is %+v", got.Error)
		}
		if strings.Contains(r.log.String(), strings.TrimPrefix(link, "/watch/")) {
			t.Error("the token is in the log")
		}
	}
}

// TestWatchShows: a link that was made to show the log or the result shows that, and nothing else of what is hidden.
func TestWatchShows(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task, plain := r.secretTask(false)
	mint := func(shows string) string {
		t.Helper()
		return read[Watch](r.post("/v1/tasks/"+task.ID+"/watch", `{"shows":[`+shows+`]}`).want(201)).URL
	}
	for shows, want := range map[string]string{``: "task end", `"lines"`: "task log end", `"result"`: "task end", `"lines","result"`: "task log end", `"result","lines"`: "task log end"} {
		link := mint(shows)
		events := r.listen(link + "/events").until("end")
		if got := strings.Join(names(events), " "); got != want {
			t.Errorf("%s: the stream is %s", shows, got)
		}
		all := string(r.get(link).want(200).body)
		for _, e := range events {
			all += e.data
		}
		for secret, wanted := range map[string]bool{"hush-line": strings.Contains(shows, "lines"), "hush-result": strings.Contains(shows, "result")} {
			if strings.Contains(all, secret) != wanted {
				t.Errorf("%s: %s is shown: %v; %s", shows, secret, !wanted, all)
			}
		}
		if strings.Contains(strings.NewReplacer("hush-line", "", "hush-result", "").Replace(all), "hush") {
			t.Errorf("%s: a secret is shown: %s", shows, all)
		}
		if conforms(t, r.server, "GET", link, r.get(link).want(200)); (shows == ``) != (len(link) == len(plain)) {
			t.Errorf("%s: %s", shows, link)
		}
	}
	for _, bad := range []string{`"payload"`, `1`, `null`, `"lines","lines","lines"`, `""`} {
		r.post("/v1/tasks/"+task.ID+"/watch", `{"shows":[`+bad+`]}`).problem(CodeValidationFailed)
		r.post("/v1/tasks", `{"kind":"k","watch":true,"watch_shows":[`+bad+`]}`).problem(CodeValidationFailed)
	}
	r.post("/v1/tasks", `{"kind":"k","watch_shows":["lines"]}`).problem(CodeValidationFailed)
	submitted := r.submit(`{"kind":"k","watch":true,"watch_shows":["lines"]}`)
	if granted, err := r.server.keys.read(strings.TrimPrefix(submitted.Links.Watch, "/watch/"), time.Now()); err != nil || granted.shows != ShowLines {
		t.Errorf("%+v, %v", granted, err)
	}
}

// TestWatchStream: a stream begins with the task, tells each change, ends, and is not begun again.
func TestWatchStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret})
	ctx, queue := t.Context(), scheduler.Queue("q")
	submitted, err := r.client.Submit(ctx, scheduler.NewTask{Kind: "k", Queue: queue})
	if err != nil {
		t.Fatal(err)
	}
	worker := scheduler.WorkerInfo{ID: scheduler.NewWorkerID(), Queues: []scheduler.Queue{queue}, Kinds: []string{"k"}, Slots: 4, TTL: time.Hour}
	if err := r.client.Register(ctx, worker); err != nil {
		t.Fatal(err)
	}
	link := r.watch(submitted.ID.String()).URL
	s := r.listen(link + "/events")
	look := func(e event) (w WatchedTask) {
		t.Helper()
		if err := json.Unmarshal([]byte(e.data), &w); err != nil || e.name != "task" {
			t.Fatalf("%v: %+v", err, e)
		}
		return w
	}
	if got := look(s.next()); got.State != "ready" {
		t.Fatalf("first came %+v", got)
	}
	lease := r.lease(worker.ID, queue, "k")
	running := s.next()
	if got := look(running); got.State != "running" {
		t.Fatalf("then came %+v", got)
	}
	r.report(scheduler.Report{Lease: lease, Progress: scheduler.Progress{Current: 1, Total: 4}})
	if got := look(s.next()); *got.Progress.Percent != 25 {
		t.Fatalf("then came %+v", got)
	}
	if err := r.client.Complete(ctx, lease, nil); err != nil {
		t.Fatal(err)
	}
	rest := s.until("end")
	if got := look(rest[0]); got.State != "completed" || !got.Done || len(rest) != 2 {
		t.Errorf("at the end came %+v", rest)
	}
	if got := strings.Join(names(r.listen(link+"/events", "Last-Event-ID", running.id).until("end")), " "); got != "task end" {
		t.Errorf("who comes back gets %s", got)
	}
	r.get(link+"/events", "Last-Event-ID", rest[1].id).want(204)
	r.get(link + "/events?after=" + rest[1].id).want(204)
	open := r.watch(read[Task](r.post("/v1/tasks", `{"kind":"k"}`, "Authorization", "Bearer "+secret)).ID).URL
	if a := r.do("HEAD", open+"/events", ""); a.status != 200 || a.header.Get("Content-Type") != mediaEvents {
		t.Errorf("HEAD: %d %v", a.status, a.header)
	}
	r.get(link + "/events?after=x").problem(CodeValidationFailed)
	r.get(link + "/events?logs=true").problem(CodeValidationFailed)
}

// TestWatchPoll: a poll says when to come again, a long one waits for a change, and what is known is not sent again.
func TestWatchPoll(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.submit(`{"kind":"k","watch":true}`)
	a := r.get(task.Links.Watch).want(200)
	tag := a.header.Get("ETag")
	if a.header.Get("Retry-After") != "2" || a.header.Get("Vary") != "Accept" || tag != `"1"` {
		t.Errorf("%v", a.header)
	}
	if b := r.get(task.Links.Watch, "If-None-Match", tag).want(304); len(b.body) > 0 || b.header.Get("ETag") != tag {
		t.Errorf("%s %v", b.body, b.header)
	}
	answered := make(chan answer)
	go func() { answered <- r.get(task.Links.Watch, "Prefer", "wait=30", "If-None-Match", tag) }() // received below
	r.post("/v1/tasks/"+task.ID+"/cancel", `{"reason":"hush"}`).want(200)
	a = (<-answered).want(200)
	if got := a.watched(); got.State != "cancelled" || got.Error.Message != "It was cancelled." || a.header.Get("Retry-After") != "" || a.header.Get("Preference-Applied") != "wait=30" {
		t.Errorf("%+v %v", got, a.header)
	}
}

// TestWatchIsOpenToAllPages, and nothing else is.
func TestWatchIsOpenToAllPages(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", secret} {
		r := newRig(t, Config{Token: token})
		link := r.submit(`{"kind":"k","watch":true}`, "Authorization", "Bearer "+token).Links.Watch
		allowed := func(method, path string, headers ...string) string {
			return r.do(method, path, "", append(headers, "Origin", "https://shop.example.org", "Sec-Fetch-Site", "cross-site")...).header.Get("Access-Control-Allow-Origin")
		}
		for _, path := range []string{link, "/watch/x", "/watch/x/events", "/watch.js", "/watch.css"} {
			if got := allowed("GET", path); got != "*" {
				t.Errorf("GET %s: %q", path, got)
			}
			a := r.do("OPTIONS", path, "", "Origin", "https://shop.example.org", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "if-none-match,prefer").want(204)
			if a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Methods") != "GET" ||
				!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "If-None-Match") || a.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("OPTIONS %s: %v", path, a.header)
			}
		}
		s := r.listen(link+"/events", "Origin", "https://shop.example.org")
		if s.answer.StatusCode != 200 || s.answer.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("the stream: %d %v", s.answer.StatusCode, s.answer.Header)
		}
		for _, request := range append(r.routesToTry(), "OPTIONS /v1/tasks", "OPTIONS /v1/tasks/"+unknownID+"/watch", "GET /nowhere", "GET /", "OPTIONS /watch") {
			method, path, _ := strings.Cut(request, " ")
			if strings.HasPrefix(path, "/watch/") || path == "/watch.js" || path == "/watch.css" {
				continue
			}
			if got := allowed(method, path, "Authorization", "Bearer "+token); got != "" {
				t.Errorf("%s is open to %s", request, got)
			}
		}
		if token == "" { // without a token the name that the server is called by still matters
			r.get(link, "Host", "evil.example.org").problem(CodeMisdirected)
		}
	}
}

// TestWatchPage: text is text, whatever a handler reports, and the page says what it may load.
func TestWatchPage(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.submit(`{"kind":"k","watch":true}`)
	for _, test := range []struct{ set, want string }{
		{`state = 'running', progress_current = 420, progress_total = 1000, progress_message = '<script>alert(1)</script>', progress_at = now()`,
			`<span class="text">42% · &lt;script&gt;alert(1)&lt;/script&gt;</span>`},
		{`progress_message = '"><img src=x onerror=alert(1)>{{.}}'`, `&#34;&gt;&lt;img src=x onerror=alert(1)&gt;{{.}}`},
		{`progress_message = '</title><script>alert(1)</script>'`, `<title>Running: 42% · &lt;/title&gt;&lt;script&gt;`},
		{`progress_total = null, progress_message = null`, `<progress max="100" aria-label="Progress"></progress>` + "\n" + `<span class="text">420 so far</span>`},
		{`state = 'scheduled', error_code = 'error', error = 'hush', progress_message = 'page 2'`, `<span role="status">Waiting to try again</span>`},
		{`progress_current = null, progress_message = null`, `<span class="text">It failed.</span>`},
	} {
		r.exec(`update scheduler.tasks set `+test.set+`, worker_id = gen_random_uuid(), attempt = 1, started_at = now(), revision = revision + 1 where id = $1`, task.ID)
		a := r.get(task.Links.Watch, "Accept", asBrowser).want(200)
		page := string(a.body)
		if !strings.Contains(page, test.want) || strings.Count(page, "<script") != 1 || strings.Contains(page, "<img") || strings.Contains(page, "style=") {
			t.Errorf("after %s the page is\n%s", test.set, page)
		}
		if !strings.Contains(page, `<noscript><meta http-equiv="refresh"`) {
			t.Error("without scripts nothing would move")
		}
		policy := a.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors *"} {
			if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
				t.Errorf("the policy is %s", policy)
			}
		}
		for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Content-Type": "text/html; charset=utf-8", "X-Frame-Options": "", "ETag": ""} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	r.exec(`delete from scheduler.tasks where id = $1`, task.ID)
}

func TestWatchAssets(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret})
	for path, media := range map[string]string{"/watch.js": "text/javascript; charset=utf-8", "/watch.css": "text/css; charset=utf-8"} {
		a := r.get(path, "Accept-Encoding", "identity").want(200)
		if a.header.Get("Content-Type") != media || a.header.Get("Cache-Control") != "public, max-age=86400" || a.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("%s: %v", path, a.header)
		}
		r.get(path, "Accept-Encoding", "identity", "If-None-Match", a.header.Get("ETag")).want(304)
		small := r.get(path, "Accept-Encoding", "br, GZIP;q=0.5").want(200)
		z, err := gzip.NewReader(strings.NewReader(string(small.body)))
		if err != nil || small.header.Get("Content-Encoding") != "gzip" || small.header.Get("ETag") == a.header.Get("ETag") || small.header.Get("Vary") != "Accept-Encoding" {
			t.Fatalf("%s by gzip: %v, %v", path, err, small.header)
		}
		if same, err := io.ReadAll(z); err != nil || string(same) != string(a.body) || len(small.body) > 2000 {
			t.Errorf("%s by gzip: %d bytes, of %d, %v", path, len(small.body), len(same), err)
		}
		r.get(path, "Accept-Encoding", "gzip", "If-None-Match", small.header.Get("ETag")).want(304)
	}
	for header, want := range map[string]bool{"": false, "gzip": true, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "deflate, gzip;q=1.0": true,
		"*": false, "gzip;q=x": false, "xgzip": false, "identity;q=1, gzip ; Q=0.1": true} {
		if asset.TakesGzip([]string{header}) != want {
			t.Errorf("Accept-Encoding: %s", header)
		}
	}
}

func TestPrefersHTML(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{"": false, "*/*": false, asBrowser: true, "application/json": false, "text/html": true, "text/html, application/json": false,
		"text/html;q=0.5, application/json": false, "text/html, application/json;q=0.9": true, "text/html;q=0": false, ";;;": false} {
		if got := prefersHTML([]string{accept}); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

// TestWatchWordsAreComplete: each state has a word, here and in the script.
func TestWatchWordsAreComplete(t *testing.T) {
	t.Parallel()
	for _, state := range scheduler.States {
		if word := watchWords[string(state)]; word == "" || !strings.Contains(watchJS, string(state)+": '"+word+"'") {
			t.Errorf("%s is %q here", state, word)
		}
	}
}
