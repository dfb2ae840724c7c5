package ui_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const token = "correct-horse-battery-staple"

// TestLogin: a token is asked for once, and then known by a cookie, at both servers.
func TestLogin(t *testing.T) {
	t.Parallel()
	r := newRig(t, token)
	id := r.history()
	for _, path := range append(paths, "/tasks/"+id.String()+"?x=1") {
		a := r.get(path)
		if a.StatusCode != 303 || a.Header.Get("Location") != "/login?next="+url.QueryEscape(path) {
			t.Errorf("%s without a session: %d to %q", path, a.StatusCode, a.Header.Get("Location"))
		}
	}
	for _, path := range []string{"/tasks.json", "/index.json", "/v1/tasks"} {
		if a := r.get(path); a.StatusCode != 401 || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s without a session: %d", path, a.StatusCode)
		}
	}
	for _, path := range []string{"/tasks/act", "/queues/act", "/schedules/act", "/endpoints/act", "/workers/act"} {
		if a := r.post(path, url.Values{"do": {"cancel"}, "id": {id.String()}}); a.StatusCode != 401 {
			t.Errorf("POST %s without a session: %d", path, a.StatusCode)
		}
	}
	for _, wrong := range []string{"", "wrong", token + "x", token[1:]} {
		a := r.post("/login", url.Values{"token": {wrong}, "name": {"Eve"}})
		if a.StatusCode != 403 || len(a.Cookies()) > 0 || !strings.Contains(a.body, "not the one") {
			t.Errorf("login with %q: %d, %v", wrong, a.StatusCode, a.Cookies())
		}
	}

	a := r.post("/login", url.Values{"token": {token}, "name": {"Ada"}, "next": {"/queues"}})
	if a.StatusCode != 303 || a.Header.Get("Location") != "/queues" || len(a.Cookies()) != 1 {
		t.Fatalf("login: %d %v", a.StatusCode, a.Header)
	}
	if c := a.Cookies()[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || strings.Contains(c.Value, token) {
		t.Errorf("the cookie is %v", c)
	}
	for _, path := range append(paths, "/tasks/"+id.String(), "/tasks.json", "/v1/tasks", "/openapi.json") {
		if a := r.get(path); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if a := r.get("/"); !strings.Contains(a.body, "Sign out Ada") {
		t.Error("the page does not say who is signed in")
	}
	if other := *r; true { // the other server has the same token; a jar does not tell ports apart
		other.one = r.two
		if a := other.get("/queues"); a.StatusCode != 200 {
			t.Errorf("at the other server: %d", a.StatusCode)
		}
	}

	// The API itself takes the cookie for reading only: what changes needs the token, or a form of the pages.
	if a := r.post("/v1/tasks/"+id.String()+"/cancel", nil); a.StatusCode != 401 {
		t.Errorf("the API took a session: %d %s", a.StatusCode, a.body)
	}
	if a := r.post("/logout", nil); a.StatusCode != 303 {
		t.Errorf("logout: %d", a.StatusCode)
	}
	if a := r.get("/"); a.StatusCode != 303 {
		t.Errorf("after the logout: %d", a.StatusCode)
	}
}

// TestSecureCookie: behind TLS the cookie is for TLS.
func TestSecureCookie(t *testing.T) {
	t.Parallel()
	r := newRig(t, token)
	for proto, want := range map[string]bool{"https": true, "HTTPS": true, "https, http": true, "https,https": true, "": false, "http": false, "http, https": false} {
		a := r.post("/login", url.Values{"token": {token}}, "X-Forwarded-Proto", proto)
		if len(a.Cookies()) != 1 || a.Cookies()[0].Secure != want {
			t.Errorf("%q: %v", proto, a.Cookies())
		}
	}
}

// TestLoginLeadsOnlyHere: what comes after the login is a page of this server.
func TestLoginLeadsOnlyHere(t *testing.T) {
	t.Parallel()
	r := newRig(t, token)
	for next, want := range map[string]string{"/tasks?state=failed": "/tasks?state=failed", "": "/", "https://evil.example.org": "/", "//evil.example.org": "/",
		`/\evil.example.org`: "/", "/\t/evil.example.org": "/", "javascript:alert(1)": "/", "tasks": "/"} {
		a := r.post("/login", url.Values{"token": {token}, "next": {next}})
		if got := a.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// TestOrigin: no page of another origin does anything, signed in or not.
func TestOrigin(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", token} {
		r := newRig(t, secret)
		id := r.history()
		before := r.state(id)
		if secret != "" {
			r.post("/login", url.Values{"token": {secret}})
		}
		for _, path := range []string{"/tasks/act", "/queues/act", "/schedules/act", "/endpoints/act", "/workers/act", "/login", "/logout"} {
			for _, headers := range [][]string{
				{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
				{"Sec-Fetch-Site", "", "Origin", "https://evil.example.org"}, {"Sec-Fetch-Site", "", "Origin", "null"},
			} {
				if a := r.post(path, url.Values{"do": {"cancel"}, "id": {id.String()}}, headers...); a.StatusCode != 403 {
					t.Errorf("POST %s with %q: %d", path, headers, a.StatusCode)
				}
			}
		}
		if got := r.state(id); got != before {
			t.Errorf("the task is %s", got)
		}
	}
}

// TestHeaders: every page forbids what it does not need.
func TestHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	id := r.history()
	for _, path := range append(paths, "/tasks/"+id.String(), "/nowhere-in-static", "/tasks/unknown", "/static/app.js", "/login") {
		a := r.get(path)
		policy := a.Header.Get("Content-Security-Policy")
		if path == "/nowhere-in-static" {
			if a.StatusCode != 404 {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
			continue
		}
		if !strings.Contains(policy, "default-src 'self'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: %q", path, policy)
		}
		if a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s may be sniffed", path)
		}
		for _, inline := range []string{"<style", " style=", " onclick=", "javascript:"} {
			if strings.Contains(a.body, inline) && !strings.HasPrefix(path, "/static") {
				t.Errorf("%s has %q", path, inline)
			}
		}
	}
}
