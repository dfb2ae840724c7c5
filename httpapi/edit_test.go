package httpapi

import (
	"strings"
	"testing"
)

func TestEditAndRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.submit(`{"kind":"k","delay_ms":3600000,"priority":7,"timeout_ms":1000,"tags":["a"]}`)
	self := task.Links.Self
	a := r.do("PATCH", self, `{"payload":null,"priority":null,"timeout_ms":null,"tags":["b"]}`, "If-Match", `"1"`, HeaderActor, "ann@shop").want(200)
	if text := string(a.body); a.header.Get("ETag") != `"2"` || !strings.Contains(text, `"payload":null,`) || !strings.Contains(text, `"priority":0,`) ||
		!strings.Contains(text, `"timeout_ms":null`) || !strings.Contains(text, `"tags":["b"]`) || !strings.Contains(text, `"state":"scheduled"`) {
		t.Errorf("%s\n%s", a.header, text)
	}
	conforms(t, r.server, "PATCH", self, a)
	for body, status := range map[string]int{`{}`: 422, `{"priority":40000}`: 422, `{"kind":"x"}`: 422, `[]`: 422, `{`: 400, `{"run_at":"0001-01-01T00:00:00Z"}`: 422} {
		r.do("PATCH", self, body).want(status)
	}
	for _, stale := range []string{`"1"`, `W/"1"`, `2`, `W/2`, `W/`, `"2", "3"`, `"x"`} {
		r.do("PATCH", self, `{"priority":1}`, "If-Match", stale).want(412)
	}
	r.do("PATCH", self, `{"priority":1}`, "If-Match", "*").want(200)
	r.do("PATCH", self, `{"priority":1}`, "If-Match", `W/"3"`).want(200) // as nginx says it of what it compresses
	r.do("POST", task.Links.Run, "").want(200)
	r.do("POST", task.Links.Run, "").want(409)
	r.do("PATCH", "/v1/tasks/01a1fbc0-c975-7f37-a6be-a8f3e8777fbf", `{"priority":1}`).want(404)
	audit := r.do("GET", "/v1/audit?limit=2&task="+task.ID, "").want(200)
	if text := string(audit.body); !strings.Contains(text, `"verb":"run"`) || !strings.Contains(text, `"actor":"http `) || strings.Contains(text, `"next_cursor":null`) {
		t.Error(text)
	}
	conforms(t, r.server, "GET", "/v1/audit", audit)
	if text := string(r.do("GET", "/v1/audit", "").want(200).body); !strings.Contains(text, `"actor":"ann@shop","verb":"edit"`) {
		t.Error(text)
	}
	r.do("GET", "/v1/audit?task=x", "").want(422)
}
