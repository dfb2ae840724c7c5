package push

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

// The test vector of Standard Webhooks.
func TestSignatureIsThatOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	key, err := scheduler.SecretKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	at, body := time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got := sign([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body); got != want {
		t.Error(got)
	}
	other, err := base64.StdEncoding.DecodeString("C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
	if err != nil {
		t.Fatal(err)
	}
	if got := sign([][]byte{key, other}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body); !strings.HasPrefix(got, want+" v1,") || len(got) != 2*len(want)+1 {
		t.Error(got)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const problem = `{"type":"about:blank","detail":"gone wrong","retryable":false}`
	for _, c := range []struct {
		name   string
		status int
		header string // key: value, one a line
		body   string
		result string
		err    string // how the error begins; "": none
		what   Outcome
		sound  bool
	}{
		{"json", 200, "Content-Type: application/json", ` {"sent":3} `, ` {"sent":3} `, "", Delivered, true},
		{"json of a kind", 201, "Content-Type: application/vnd.shop+json; charset=utf-8", `[1]`, `[1]`, "", Delivered, true},
		{"nothing", 204, "", "", "", "", Delivered, true},
		{"empty json", 200, "Content-Type: application/json", " \n", "", "", Delivered, true},
		{"text", 200, "Content-Type: text/html", "<p>ok", "", "", Delivered, true},
		{"no type", 200, "", `{"a":1}`, "", "", Delivered, true},
		{"broken json", 200, "Content-Type: application/json", "{", "", "the answer 200 OK cannot be stored as a result: not a JSON value", Refused, true},
		{"too much", 200, "Content-Type: application/json", `"` + strings.Repeat("x", mostBody) + `"`, "", "the answer 200 OK cannot be stored as a result: larger than", Refused, true},
		{"nul", 200, "Content-Type: application/json", `"\u0000"`, "", `the answer 200 OK cannot be stored as a result: \u0000`, Refused, true},
		{"other protocols", 101, "Connection: Upgrade", "", "", "101 Switching Protocols", Failed, false},
		{"redirect", 302, "Location: http://169.254.169.254/", "", "", "302 Found", Failed, false},
		{"not modified", 304, "", "", "", "304 Not Modified", Failed, false},
		{"bad request", 400, "", "no\x00\r\n  name\u202e", "", "400 Bad Request: no name", Failed, true},
		{"not utf-8", 400, "", "a\xff", "", "400 Bad Request: a\uFFFD", Failed, true},
		{"unauthorized", 401, "", "", "", "401 Unauthorized", Failed, false},
		{"not found", 404, "", "", "", "404 Not Found", Failed, false},
		{"not found for good", 404, "Content-Type: application/problem+json", problem, "", "404 Not Found: {", Refused, true},
		{"conflict", 409, "", "", "", "409 Conflict", Failed, true},
		{"gone", 410, "", "", "", "410 Gone", Refused, true},
		{"problem", 422, "Content-Type: application/problem+json", problem, "", "422 Unprocessable Entity: {", Refused, true},
		{"problem as json", 500, "Content-Type: application/json", problem, "", "500 Internal Server Error: {", Refused, false},
		{"problem as text", 422, "Content-Type: text/plain", problem, "", "422 Unprocessable Entity: {", Failed, true},
		{"retryable", 422, "Content-Type: application/problem+json", `{"retryable":true}`, "", "422 Unprocessable Entity: {", Failed, true},
		{"too many", 429, "", "", "", "429 Too Many Requests", Failed, true},
		{"later", 429, "Retry-After: 7", "", "", "429 Too Many Requests: snoozed for 7s", Later, true},
		{"at once", 429, "Retry-After: 0", "", "", "429 Too Many Requests: snoozed for 1s", Later, true},
		{"nonsense", 429, "Retry-After: -1", "", "", "429", Failed, true},
		{"more nonsense", 503, "Retry-After: 99999999999999999999", "", "", "503", Failed, false},
		{"a date", 503, "Retry-After: Sat, 21 Nov 2026 10:00:30 GMT\nDate: Sat, 21 Nov 2026 10:00:00 GMT", "", "", "503 Service Unavailable: snoozed for 30s", Later, true},
		{"a date that is over", 503, "Retry-After: Sat, 21 Nov 2026 09:00:30 GMT\nDate: Sat, 21 Nov 2026 10:00:00 GMT", "", "", "503 Service Unavailable: snoozed for 1s", Later, true},
		{"broken", 500, "Retry-After: 7", strings.Repeat("ä", 1000), "", "500 Internal Server Error: ää", Failed, false},
		{"unavailable", 503, "", "", "", "503 Service Unavailable", Failed, false},
		{"unknown", 599, "", "", "", "599", Failed, false},
	} {
		a := &answer{status: c.status, header: http.Header{}, body: []byte(c.body)}
		for line := range strings.Lines(c.header) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			a.header.Set(key, value)
		}
		result, err := a.outcome()
		text := ""
		if err != nil {
			text = err.Error()
		}
		if string(result) != c.result || (err == nil) != (c.err == "") || !strings.HasPrefix(text, c.err) || len(text) > 2*shownText || strings.ContainsAny(text, "\x00\r\n") {
			t.Errorf("%s: %.60q, %.200q", c.name, result, text)
		}
		if got := outcomeOf(a, err); got != c.what || worker.IsPermanent(err) != (c.what == Refused) {
			t.Errorf("%s is %s", c.name, got)
		}
		if a.sound() != c.sound {
			t.Errorf("%s: sound is %v", c.name, a.sound())
		}
	}
	if _, err := json.Marshal(parcel{Payload: json.RawMessage("{}")}); err != nil {
		t.Error(err)
	}
}
