package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// newProxied starts nginx in front of two processes that serve.
func newProxied(t *testing.T) (p *proxied, one, two *process) {
	t.Helper()
	proc.Need(t, "nginx")
	r := newRigOn(t, pgtest.DB(t), Config{Token: secret})
	one, two = r.process(serveToken+"="+secret), r.process(serveToken+"="+secret)
	return r.behind(addresses(one.rig, two.rig)), one, two
}

func addresses(one, two *rig) [2]string {
	return [2]string{strings.TrimPrefix(one.url, "http://"), strings.TrimPrefix(two.url, "http://")}
}

// TestBehindNginx: everything works through nginx as the guide configures it.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	p, _, _ := newProxied(t)
	for name, web := range map[string]*http.Client{"HTTP1": p.client(false, secret), "HTTP2": p.client(true, secret)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := p.with(web)
			r.t = t
			proto := map[string]int{"HTTP1": 1, "HTTP2": 2}[name]
			response, err := web.Get(r.url + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.ProtoMajor != proto {
				t.Fatalf("HTTP/%d", response.ProtoMajor)
			}
			t.Run("streams", func(t *testing.T) { r.on(t).streamsComeAtOnce(name) })
			t.Run("polls", func(t *testing.T) { r.on(t).pollsWait(name) })
		})
	}
	t.Run("socket", func(t *testing.T) {
		t.Parallel()
		p.with(p.web).on(t).socketPasses()
	})
	t.Run("batches", func(t *testing.T) {
		t.Parallel()
		p.with(p.web).on(t).batchesPass()
	})
	t.Run("dashboard", func(t *testing.T) {
		t.Parallel()
		p.with(p.client(true, "")).on(t).dashboardActs(p.with(p.web).on(t))
	})
	t.Run("watch", func(t *testing.T) {
		t.Parallel()
		p.with(p.client(true, "")).on(t).watchShows(p.with(p.web).on(t))
	})
	t.Run("actor", func(t *testing.T) {
		t.Parallel()
		r := p.with(p.web).on(t)
		task := r.submit(`{"kind":"actor"}`)
		r.post(task.Links.Cancel, "").want(200)
		if got := string(r.get("/v1/audit?task=" + task.ID).want(200).body); !strings.Contains(got, `"actor":"http `+elsewhereAddress()+`"`) {
			t.Errorf("who cancelled is not known: %s", got)
		}
	})
}

func (r *rig) on(t *testing.T) *rig {
	its := *r
	its.t = t
	return &its
}

// streamsComeAtOnce sees each change before it makes the next.
func (r *rig) streamsComeAtOnce(name string) {
	task, h := r.submit(`{"kind":"k","queue":"`+name+`","watch":true}`), r.hand()
	its := read[Leases](h.post("/v1/leases", `{"worker":{"id":"`+h.id+`"},"kinds":["k"],"queues":["`+name+`"]}`).want(200)).Leases[0]
	streams := []*feed{r.listen(task.Links.Self + "/events"), r.listen("/v1/events?task=" + task.ID), r.listen(task.Links.Watch + "/events")}
	for i, s := range streams {
		if s.answer.StatusCode != 200 || s.next().name != "task" {
			r.t.Fatalf("stream %d: %s", i, s.answer.Status)
		}
	}
	for n := range 3 {
		h.say(its.Lease, "heartbeat", fmt.Sprintf(`{"progress":{"current":%d,"total":3}}`, n)).want(200)
		for i, s := range streams {
			var got WatchedTask
			if e := s.next(); json.Unmarshal([]byte(e.data), &got) != nil || got.Progress == nil || got.Progress.Current != int64(n) {
				r.t.Fatalf("stream %d, report %d: %+v", i, n, e)
			}
		}
	}
	h.say(its.Lease, "complete", `{"result":7}`).want(200)
	for _, s := range streams {
		seen := s.until("end")
		r.get(s.answer.Request.URL.RequestURI(), "Last-Event-ID", seen[len(seen)-1].id).want(204)
	}
	topics := r.listen("/v1/topics/" + name + ".%23/events")
	for n := range 3 {
		r.post("/v1/topics/"+name+".a/publish", fmt.Sprintf(`{"payload":%d}`, n)).want(202)
		if e := topics.next(); e.name != "message" || !strings.Contains(e.data, fmt.Sprintf(`"payload":%d`, n)) {
			r.t.Fatalf("message %d: %+v", n, e)
		}
	}
}

// pollsWait waits for tasks, answers and work, in vain and not.
func (r *rig) pollsWait(name string) {
	queue := `"poll-` + name + `"`
	h, ask := r.hand(), `{"kinds":["k"],"queues":[`+queue+`]}`
	if got := read[Leases](h.post("/v1/leases", ask, "Prefer", "wait=1").want(200)); len(got.Leases) != 0 {
		r.t.Errorf("leases of nothing: %+v", got)
	}
	a := r.post("/v1/tasks", `{"kind":"k","queue":`+queue+`}`, "Prefer", "wait=1").want(202)
	task := a.task()
	if got := r.get(task.Links.Self, "Prefer", "wait=1").want(200); got.task().Done {
		r.t.Error("it is done")
	}
	r.get(task.Links.Self, "Prefer", "wait=1", "If-None-Match", a.header.Get("Etag")).want(304)
	got := read[Leases](h.post("/v1/leases", ask, "Prefer", "wait=60").want(200)) // who waits for the task may have its row locked
	if len(got.Leases) != 1 {
		r.t.Fatalf("%+v", got)
	}
	ended := make(chan answer, 2)
	go func() { ended <- r.get(task.Links.Self, "Prefer", "wait=60") }() // received below
	go func() { ended <- r.post("/v1/leases", ask, "Prefer", "wait=60") }()
	h.say(got.Leases[0].Lease, "complete", "").want(200)
	r.submit(`{"kind":"k","queue":` + queue + `}`)
	for range 2 {
		if got := string((<-ended).want(200).body); !strings.Contains(got, `"done":true`) && !strings.Contains(got, `"lease":"`) {
			r.t.Errorf("a poll ended with %s", got)
		}
	}
}

// batchesPass sends what is larger than proxies let through by themselves.
func (r *rig) batchesPass() {
	list := "[" + strings.Repeat(`{"kind":"k"},`, 9) + strings.Repeat(" ", 2*maxBody) + `{"kind":"k"}]`
	if got := r.post(pathBatch, list).want(202); strings.Count(string(got.body), `"id"`) != 10 {
		r.t.Errorf("%.300s", got.body)
	}
	lines := strings.Repeat(`{"kind":"k"}`+strings.Repeat(" ", 1_000_000)+"\n", 16) // more than any socket takes by itself
	if got := r.post(pathBatch, lines, "Content-Type", mediaNDJSON).want(202); strings.Count(string(got.body), `"id"`) != 16 {
		r.t.Errorf("%d lines, %.300s", strings.Count(string(got.body), "\n"), got.body)
	}
	r.post("/v1/tasks", `{"kind":"k","payload":"`+strings.Repeat("x", maxBody)+`"}`).problem(CodePayloadTooLarge) // which serve says, not nginx
}

func (r *rig) socketPasses() {
	for _, origin := range []string{"", r.url} {
		options := &websocket.DialOptions{HTTPHeader: http.Header{}}
		if origin != "" {
			options.HTTPHeader.Set("Origin", origin)
		}
		task := r.submit(`{"kind":"socket"}`)
		conn, ctx := r.dial(options)
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"op":"subscribe","id":1,"task":"`+task.ID+`"}`)); err != nil {
			r.t.Fatal(err)
		}
		for _, want := range []string{"event task", "event task", "end "} {
			var m SocketMessage
			if err := wsjson.Read(ctx, conn, &m); err != nil || m.Op+" "+m.Event != want {
				r.t.Fatalf("%v, %+v, want %s", err, m, want)
			}
			if m.Cursor == "1" {
				r.post(task.Links.Cancel, "").want(200)
			}
		}
	}
	_, response, err := websocket.Dial(r.t.Context(), strings.Replace(r.url, "http", "ws", 1)+"/v1/ws",
		&websocket.DialOptions{HTTPClient: r.web, HTTPHeader: http.Header{"Origin": {"https://evil.example.org"}}})
	if err == nil || response.StatusCode != http.StatusForbidden {
		r.t.Errorf("a page of another origin: %v", err)
	}
}

// dashboardActs signs in and pauses a queue as browsers do that do not say Sec-Fetch-Site.
func (r *rig) dashboardActs(owner *rig) {
	r.web.Jar, _ = cookiejar.New(nil)
	form := func(path string, fields url.Values, origin string) answer {
		return r.do("POST", path, fields.Encode(), "Content-Type", mediaForm, "Origin", origin)
	}
	if a := r.get("/queues").want(303); a.header.Get("Location") != "/login?next=%2Fqueues" {
		r.t.Errorf("led to %s", a.header.Get("Location"))
	}
	a := form("/login", url.Values{"token": {secret}, "name": {"Ada"}, "next": {"/queues"}}, r.url).want(303)
	if cookie := a.header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") || !strings.Contains(cookie, "SameSite=Strict") {
		r.t.Errorf("the cookie is %q", cookie)
	}
	pause := url.Values{"do": {"pause"}, "queue": {"default"}, "back": {"/queues"}}
	for _, origin := range []string{"https://evil.example.org", "https://" + proxiedName, "null"} {
		form("/queues/act", pause, origin).want(403)
	}
	form("/queues/act", pause, r.url).want(303)
	if got := string(r.get("/queues").want(200).body); !strings.Contains(got, "is paused") {
		r.t.Errorf("the page does not say so: %s", got)
	}
	if got := string(r.get("/v1/audit").want(200).body); !strings.Contains(got, `"actor":"Ada","verb":"pause_queue"`) {
		r.t.Errorf("the audit has %s", got)
	}
	form("/queues/act", url.Values{"do": {"resume"}, "queue": {"default"}}, r.url).want(303)
	task := owner.submit(`{"kind":"seen"}`)
	if page := r.get("/tasks/" + task.ID).want(200); !strings.Contains(string(page.body), "curl &#39;"+r.url+"/v1/tasks&#39;") {
		r.t.Error("curl does not lead to where the page comes from")
	}
}

// watchShows opens a link as a browser that has nothing else.
func (r *rig) watchShows(owner *rig) {
	link := owner.submit(`{"kind":"seen","watch":true}`).Links.Watch
	if page := string(r.get(link, "Accept", asBrowser).want(200).body); !strings.Contains(page, `src="../watch.js?`) {
		r.t.Error(page)
	}
	r.get("/watch.js").want(200)
	if a := r.get(link, "Origin", "https://shop.example.org").want(200); a.header.Get("Access-Control-Allow-Origin") != "*" {
		r.t.Errorf("%v", a.header)
	}
	r.get("/v1/tasks").problem(CodeUnauthorized)
}

// TestNginxKeepsIdleStreams: while nothing happens, streams and sockets outlive the time that nginx waits for a server.
func TestNginxKeepsIdleStreams(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret}, func(s *server) { s.silence = 300 * time.Millisecond })
	ctx, stop := context.WithCancel(t.Context())
	_, ended := r.serve(ctx)
	defer func() {
		stop()
		<-ended
	}()
	for wait := 1; !r.survives(t, wait); wait *= 2 { // unless the machine was too slow for it
		if wait > 30 {
			t.Fatal("they end however long nginx waits")
		}
	}
}

// survives reports whether an idle stream and an idle socket are there when nginx would have given them up, which it does after so
// many seconds.
func (r *rig) survives(t *testing.T, wait int) bool {
	p := r.behind(addresses(r, r), "proxy_read_timeout    80s", fmt.Sprintf("proxy_read_timeout %ds", wait))
	authorization := []string{"Authorization", "Bearer " + secret} // at the server itself: an answer may take longer than nginx waits
	task := r.submit(`{"kind":"idle"}`, authorization...)
	streams := []*feed{p.listen(task.Links.Self + "/events"), p.listen("/v1/topics/idle/events")}
	socket, cancel := context.WithTimeout(t.Context(), time.Duration(wait)*time.Second*3/2)
	defer cancel()
	conn, _, err := websocket.Dial(socket, strings.Replace(p.url, "http", "ws", 1)+"/v1/ws", &websocket.DialOptions{HTTPClient: p.web})
	if err == nil {
		_, _, err = conn.Read(socket) // it pongs meanwhile
		_ = conn.CloseNow()
	}
	if socket.Err() == nil {
		t.Logf("the socket ended: %v", err)
		return false
	}
	r.post(task.Links.Cancel, "", authorization...).want(200)
	r.post("/v1/topics/idle/publish", `{"payload":1}`, authorization...).want(202)
	for i, want := range []string{"end", "message"} {
		for {
			e, err := streams[i].read()
			if err != nil {
				t.Logf("stream %d ended: %v", i, err)
				return false
			}
			if e.name == want {
				break
			}
		}
	}
	return true
}

// TestNginxTellsWhoIsGone: what waits for a client ends with it.
func TestNginxTellsWhoIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret})
	ctx, stop := context.WithCancel(t.Context())
	_, ended := r.serve(ctx)
	defer func() {
		stop()
		<-ended
	}()
	p := r.behind(addresses(r, r))
	for _, http2 := range []bool{false, true} {
		web := p.client(http2, secret)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() { // ends with ctx
			defer close(left)
			request, _ := http.NewRequestWithContext(ctx, "POST", p.url+"/v1/leases", strings.NewReader(`{"kinds":["k"]}`))
			request.Header.Set("Prefer", "wait=60")
			if response, err := web.Do(request); err == nil {
				response.Body.Close()
			}
		}()
		await(t, "it waits", func() bool { return r.client.Counts().Polls == 1 })
		leave()
		<-left
		await(t, "it is taken out", func() bool { return r.client.Counts().Polls == 0 })
	}
}

// TestServersComeAndGoBehindNginx: one server is killed, one drained, nginx reloads its configuration. Streams resume at another server
// and miss nothing, long polls go on, and so does a worker with its lease.
func TestServersComeAndGoBehindNginx(t *testing.T) {
	t.Parallel()
	p, one, two := newProxied(t)
	r, h := p.rig, p.hand()
	task, other := r.submit(`{"kind":"k","watch":true}`), r.submit(`{"kind":"other"}`)
	lease := h.one().Lease
	report := func(n int) {
		t.Helper()
		h.say(lease, "heartbeat", fmt.Sprintf(`{"progress":{"current":%d,"total":9},"logs":["line %d"]}`, n, n)).want(200)
	}
	// Once nginx has answered this it knows that the connections to a server that is gone are closed: a POST that it sent into one would be
	// answered by 502, as the guide says.
	hears := func() {
		t.Helper()
		r.get("/healthz").want(200)
	}
	sources := []*source{r.source(task.Links.Self + "/events"), r.source(task.Links.Self + "/events"), r.source(task.Links.Watch + "/events"), r.source(task.Links.Watch + "/events")}
	hear := func(n int) (broken int) {
		t.Helper()
		for i, s := range sources {
			for {
				e := s.next()
				var got WatchedTask
				if e.name == "log" {
					continue
				}
				if json.Unmarshal([]byte(e.data), &got) != nil || e.name != "task" || got.Progress == nil || got.Progress.Current != int64(n) {
					t.Fatalf("stream %d, report %d: %+v", i, n, e)
				}
				break
			}
			broken += s.broken
		}
		return broken
	}
	for _, s := range sources {
		s.next()
	}
	report(1)
	if hear(1) != 0 {
		t.Error("a stream broke by itself")
	}

	ended := make(chan answer, 4)
	for range 4 {
		go func() { ended <- r.get(other.Links.Self, "Prefer", "wait=60") }() // received below
	}
	one.kill()
	hears()
	report(2)
	broken := hear(2)
	if broken == 0 || broken == len(sources) {
		t.Errorf("%d of %d streams were at the server that was killed", broken, len(sources))
	}
	r.post(other.Links.Cancel, "").want(200)
	for range 4 {
		if got := (<-ended).want(200).task(); got.State != "cancelled" {
			t.Errorf("a poll ended with %+v", got)
		}
	}

	three := p.process(serveToken + "=" + secret)
	p.reload(addresses(two.rig, three.rig))
	report(3)
	if now := hear(3); now != broken {
		t.Errorf("%d streams broke when nginx was told to reload", now-broken)
	}
	if err := two.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := two.cmd.Wait(); err != nil { // its streams do not hold it up
		t.Errorf("the server that drained: %v", err)
	}
	hears()
	report(4)
	if now := hear(4); now != broken+len(sources) {
		t.Errorf("%d streams were open at the server that drained, want %d", now-broken, len(sources))
	}
	h.say(lease, "complete", `{"result":1}`).want(200)
	for _, s := range sources {
		for e := s.next(); e.name != "end"; e = s.next() {
			continue
		}
	}
	if got := r.get(task.Links.Self).want(200).task(); got.State != "completed" || got.Attempt != 1 {
		t.Errorf("%+v", got)
	}
	if logs := string(r.get(task.Links.Self + "/logs").want(200).body); strings.Count(logs, `"message":"line `) != 4 {
		t.Errorf("%s", logs)
	}
}
