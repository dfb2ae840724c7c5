package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
)

const secret = "correct-horse-battery-staple"

// routesToTry are all routes as requests that the server could carry out.
func (r *rig) routesToTry() (requests []string) {
	for _, pattern := range r.server.mux.patterns {
		requests = append(requests, strings.NewReplacer("{id}", unknownID, "{queue}", "q", "{name}", "n").Replace(pattern))
	}
	return requests
}

// TestToken tries every route without a token, with a wrong one, and with the right one.
func TestToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret})
	wrong := [][]string{
		nil,
		{"Authorization", "Bearer "},
		{"Authorization", "Bearer wrong"},
		{"Authorization", "Bearer " + secret + "x"},
		{"Authorization", "Bearer " + secret[1:]},
		{"Authorization", "Basic " + secret},
		{"Authorization", secret},
	}
	requests := r.routesToTry()
	if len(requests) < 25 {
		t.Fatalf("only %d routes", len(requests))
	}
	for _, request := range requests {
		t.Run(request, func(t *testing.T) {
			r := *r
			r.t = t
			method, path, _ := strings.Cut(request, " ")
			free := path == "/healthz" || path == "/readyz" || path == "/watch.js" || path == "/watch.css"
			for _, headers := range wrong {
				a := r.do(method, path, "", headers...)
				if free {
					a.want(200)
					continue
				}
				if strings.HasPrefix(path, "/watch/") { // which has a token of its own
					a.problem(CodeWatchNotFound)
					continue
				}
				a.problem(CodeUnauthorized)
				if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("WWW-Authenticate: %q", a.header.Get("WWW-Authenticate"))
				}
			}
			for _, scheme := range []string{"Bearer ", "bearer  "} {
				if a := r.do(method, path, "", "Authorization", scheme+secret); a.status == 401 || a.status == 403 || a.status >= 500 {
					t.Errorf("the right token: %d %s", a.status, a.body)
				}
			}
			// A token is for programs, which may call by any name.
			if a := r.do(method, path, "", "Authorization", "Bearer "+secret, "Host", "jobs.example.org"); a.status == 421 {
				t.Errorf("the right token at another host: %s", a.body)
			}
		})
	}
	r.get("/nowhere").problem(CodeUnauthorized)
	if strings.Contains(r.log.String(), secret) {
		t.Error("the token is in the log")
	}
}

// TestHost: without a token only names of this machine are served, on every route.
func TestHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for _, request := range r.routesToTry() {
		method, path, _ := strings.Cut(request, " ")
		for _, host := range []string{"evil.example.org", "evil.example.org:8080", "localhost.evil.example.org", "127.0.0.1.nip.io", "10.0.0.1", "0.0.0.0", "[::]:80", "[fe80::1]", "a@localhost"} {
			r.do(method, path, "", "Host", host).problem(CodeMisdirected)
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]:80"} {
		r.get("/v1/queues", "Host", host).want(200)
	}
}

// TestForwarded: without a token nobody comes in through a proxy on this machine either, as far as it says who asks.
func TestForwarded(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for _, headers := range [][]string{
		{"X-Forwarded-For", "192.0.2.1"}, {"X-Forwarded-For", "127.0.0.1, 192.0.2.1"}, {"X-Forwarded-For", "192.0.2.1,::1"}, {"X-Forwarded-For", "unknown"},
		{"X-Forwarded-For", "127.0.0.1", "X-Forwarded-For", "2001:db8::1"}, {"X-Forwarded-For", "192.0.2.1:4711"},
		{"X-Forwarded-Host", "jobs.example.org"}, {"X-Real-IP", "10.0.0.1"}, {"Forwarded", `by=127.0.0.1;For="[2001:db8::1]:4711"`},
		{"Forwarded", "for=127.0.0.1;proto=https, for=_hidden"}, {"X-Forwarded-For", "127.0.0.1", "X-Forwarded-Host", "jobs.example.org:8080"},
	} {
		for _, path := range []string{"/v1/queues", "/", "/login", "/watch.js", "/healthz"} {
			if p := r.get(path, headers...).problem(CodeMisdirected); len(p.Errors) != 1 || p.Errors[0].Header == "" || p.Errors[0].Header == "Host" {
				t.Errorf("%q: %+v", headers, p.Errors)
			}
		}
	}
	for _, headers := range [][]string{{"X-Forwarded-For", "127.0.0.1"}, {"X-Forwarded-For", "::1, 127.0.0.9"}, {"X-Forwarded-For", ""}, {"X-Forwarded-For", " , "},
		{"X-Forwarded-Host", "localhost:5173"}, {"X-Real-IP", "[::1]"}, {"X-Forwarded-Proto", "https"},
		{"Forwarded", `for="[::1]:80";host=localhost;by=192.0.2.1`}} {
		r.get("/v1/queues", headers...).want(200)
	}
	r = newRig(t, Config{Token: secret}) // which decides then
	r.get("/v1/queues", "X-Forwarded-For", "192.0.2.1", "X-Forwarded-Host", "jobs.example.org", "Authorization", "Bearer "+secret).want(200)
}

// TestActor: who did something is who says so, or where the request came from, before the proxy if there is one.
func TestActor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want    string
		headers []string
	}{
		{"http 10.1.2.3", nil},
		{"ann", []string{HeaderActor, "ann", "X-Forwarded-For", "192.0.2.1"}},
		{"http 192.0.2.1", []string{"X-Forwarded-For", "192.0.2.1"}},
		{"http 192.0.2.2", []string{"X-Forwarded-For", "6.6.6.6, 192.0.2.2"}}, // what stands before the last was sent by who knows whom
		{"http 192.0.2.3", []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-For", "192.0.2.3:4711"}},
		{"http 2001:db8::1", []string{"X-Forwarded-For", "2001:db8::1"}},
		{"http 2001:db8::2", []string{"X-Forwarded-For", "[2001:db8::2]:80"}},
		{"http 2001:db8::3", []string{"X-Forwarded-For", "[2001:db8::3]"}},
		{"http 192.0.2.4", []string{"X-Forwarded-For", "::ffff:192.0.2.4"}},
		{"http 10.1.2.3", []string{"X-Forwarded-For", "unknown"}},
		{"http 10.1.2.3", []string{"X-Forwarded-For", "192.0.2.1, <script>"}},
		{"http 10.1.2.3", []string{"X-Forwarded-For", "fe80::1%eth0"}},
		{"http 10.1.2.3", []string{"X-Forwarded-For", ""}},
	} {
		request := httptest.NewRequest("POST", "/", nil)
		request.RemoteAddr = "10.1.2.3:4567"
		for i := 0; i < len(c.headers); i += 2 {
			request.Header.Add(c.headers[i], c.headers[i+1])
		}
		if got := actorOf(request); got != c.want {
			t.Errorf("%q: %q, want %q", c.headers, got, c.want)
		}
	}
}

// TestOrigin: no page of another origin can change anything, with every method that changes, with and without a token.
func TestOrigin(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"", secret} {
		r := newRig(t, Config{Token: token})
		host := strings.TrimPrefix(r.url, "http://")
		for _, request := range r.routesToTry() {
			method, path, _ := strings.Cut(request, " ")
			for _, headers := range [][]string{
				{"Origin", "https://evil.example.org"},
				{"Origin", "null"},
				{"Origin", "http://localhost:1"},
				{"Sec-Fetch-Site", "cross-site"},
				{"Sec-Fetch-Site", "same-site", "Origin", "http://" + host},
			} {
				a := r.do(method, path, "", append(headers, "Authorization", "Bearer "+token)...)
				if method == "GET" {
					if a.status == 403 {
						t.Errorf("%s with %v: %s", request, headers, a.body)
					}
					continue
				}
				a.problem(CodeForbidden)
			}
		}
		r.post("/v1/tasks", `{"kind":"x"}`, "Origin", "http://"+host, "Authorization", "Bearer "+token).want(202)
		r.post("/v1/tasks", `{"kind":"x"}`, "Sec-Fetch-Site", "same-origin", "Authorization", "Bearer "+token).want(202)
		if n := r.count("tasks"); n != 2 {
			t.Errorf("%d tasks, want the 2 of the same origin", n)
		}
	}
}

// TestHeadersOfEveryAnswer are there on success, problems and refusals alike.
func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Token: secret})
	for _, a := range []answer{
		r.get("/healthz"),
		r.get("/v1/queues"),
		r.get("/v1/queues", "Authorization", "Bearer "+secret),
		r.get("/nowhere", "Authorization", "Bearer "+secret),
		r.post("/v1/tasks", "", "Authorization", "Bearer "+secret),
		r.post("/v1/tasks", `{"kind":"x"}`, "Authorization", "Bearer "+secret),
	} {
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%d: %s: %q, want %q", a.status, name, got, want)
			}
		}
		if a.header.Get("X-Request-Id") == "" {
			t.Errorf("%d: no X-Request-Id", a.status)
		}
	}
	if a := r.get("/healthz", "X-Request-Id", "req-7"); a.header.Get("X-Request-Id") != "req-7" {
		t.Errorf("a client's id became %q", a.header.Get("X-Request-Id"))
	}
	if a := r.get("/healthz", "X-Request-Id", `"><script>`); strings.ContainsAny(a.header.Get("X-Request-Id"), `"<>`) {
		t.Errorf("a client's id is %q", a.header.Get("X-Request-Id"))
	}
}

// TestLogHoldsNoPayload, nor keys of business: it has method, route, status, duration and the request's id.
func TestLogHoldsNoPayload(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.post("/v1/tasks", `{"kind":"x","payload":{"card":"4111-1111"}}`, "X-Request-Id", "req-1").want(202)
	r.post("/v1/tasks", `{"kind":"x","payload":"4111-1111`, "X-Request-Id", "req-2").problem(CodeMalformedJSON)
	log := r.log.String()
	if strings.Contains(log, "4111") {
		t.Errorf("a payload is in the log:\n%s", log)
	}
	for _, want := range []string{`msg=request method=POST route="POST /v1/tasks" status=202`, "request_id=req-1", "status=400", "request_id=req-2"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %s:\n%s", want, log)
		}
	}
}

func TestCheckListen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address, token string
		ok             bool
	}{
		{"127.0.0.1:8080", "", true}, {"localhost:8080", "", true}, {"[::1]:8080", "", true}, {"127.1.2.3:0", "", true},
		{":8080", "", false}, {"0.0.0.0:8080", "", false}, {"[::]:8080", "", false}, {"10.0.0.1:8080", "", false}, {"jobs.example.org:80", "", false},
		{":8080", "t", true}, {"0.0.0.0:8080", "t", true}, {"8080", "t", false}, {"", "", false}, {"127.0.0.1", "", false},
	} {
		err := CheckListen(test.address, test.token)
		if (err == nil) != test.ok {
			t.Errorf("CheckListen(%q, %q): %v", test.address, test.token, err)
		}
		if err != nil && strings.Count(err.Error(), "\n") != 2 {
			t.Errorf("CheckListen(%q, %q) does not say what, why and what to do: %v", test.address, test.token, err)
		}
	}
}
