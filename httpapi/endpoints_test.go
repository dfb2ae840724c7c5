package httpapi

import (
	"strings"
	"testing"
)

func TestEndpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	const path = "/v1/endpoints/shop"
	a := r.do("PUT", path, `{"url":"https://shop.example/tasks","kinds":["mail.send"],"rate":2.5,"timeout_ms":5000}`).want(201)
	conforms(t, r.server, "PUT", path, a)
	made := read[Endpoint](a)
	if made.Secret == nil || !strings.HasPrefix(*made.Secret, "whsec_") || a.header.Get("Location") != path || made.Breaker.State != "closed" || *made.Rate != 2.5 || made.TimeoutMS != 5000 || made.Concurrency != 10 {
		t.Errorf("%s", a.body)
	}
	a = r.do("PUT", path, `{"url":"https://shop.example/tasks","kinds":["mail.send"],"queues":["a","b"],"secrets":["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}`).want(200)
	if again := read[Endpoint](a); again.Secret != nil || again.Rate != nil || len(again.Queues) != 2 || !again.CreatedAt.Equal(made.CreatedAt) {
		t.Errorf("%s", a.body)
	}
	for _, get := range []string{"/v1/endpoints", path, "/v1/audit"} {
		a := r.get(get).want(200)
		conforms(t, r.server, "GET", get, a)
		if strings.Contains(string(a.body), "whsec") {
			t.Errorf("%s: %s", get, a.body)
		}
	}
	a = r.post(path+"/pause", "").want(200)
	conforms(t, r.server, "POST", path+"/pause", a)
	if e := read[Endpoint](a); !e.Paused || e.PausedAt == nil {
		t.Errorf("%s", a.body)
	}
	if e := read[Endpoint](r.post(path+"/resume", "").want(200)); e.Paused {
		t.Error("still paused")
	}
	for body, status := range map[string]int{
		`{}`: 422, `{"url":"https://a/"}`: 422, `{"url":"https://a/","kinds":[]}`: 422, `{"url":"file:///etc/passwd","kinds":["k"]}`: 422,
		`{"url":"https://u:p@a/","kinds":["k"]}`: 422, `{"url":"https://a/","kinds":["k"],"concurrency":0}`: 422, `{"url":"https://a/","kinds":["k"],"concurrency":1e9}`: 422,
		`{"url":"https://a/","kinds":["k"],"rate":0}`: 422, `{"url":"https://a/","kinds":["k"],"timeout_ms":-1}`: 422, `{"url":"https://a/","kinds":["k"],"breaker_pause_ms":9223372036854775807}`: 422,
		`{"url":"https://a/","kinds":["k"],"secrets":["secret"]}`: 422, `{"url":"https://a/","kinds":["k"],"secrets":[]}`: 422, `{"url":"https://a/","kinds":["k"],"secret":"x"}`: 422,
		`{"url":"https://a/\u0000","kinds":["k"]}`: 422, `{"url":"https://a/","kinds":["k","k"]}`: 422, `{`: 400,
	} {
		if a := r.do("PUT", "/v1/endpoints/bad", body); a.status != status && (status != 422 || a.status != 400) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	r.do("PUT", "/v1/endpoints/-x", `{"url":"https://a/","kinds":["k"]}`).want(422)
	r.do("DELETE", path, "").want(204)
	for _, call := range []string{"GET " + path, "DELETE " + path, "POST " + path + "/pause", "POST " + path + "/resume"} {
		method, path, _ := strings.Cut(call, " ")
		if p := r.do(method, path, "").problem(CodeNotFound); p.Detail != "there is no endpoint shop" {
			t.Errorf("%s: %s", call, p.Detail)
		}
	}
	if strings.Contains(r.log.String(), "whsec") {
		t.Error("a secret is logged")
	}
}
