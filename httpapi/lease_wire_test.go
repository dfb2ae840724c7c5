package httpapi

import (
	"regexp"
	"strings"
	"testing"
)

var aLease = regexp.MustCompile(`\bA[A-Za-z0-9_-]{50,}`)

// TestLeaseWire holds what workers are sent to the golden files, and each answer to the OpenAPI document.
func TestLeaseWire(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	h := r.hand()
	r.submit(`{"kind":"mail.send","payload":{"to":"a@example.org"},"timeout_ms":60000}`)
	var leases []string
	for _, test := range []struct {
		file, request, body string
		headers             []string
	}{
		{"lease", "POST /v1/leases", `{"worker":{"id":"` + h.id + `","name":"web-7:4312","language":"php 8.2"},"kinds":["mail.send"],"max":10,"held":[]}`, []string{"Prefer", "wait=30"}},
		{"lease_none", "POST /v1/leases", `{"kinds":["mail.send"]}`, nil},
		{"lease_heartbeat", "POST /v1/leases/{}/heartbeat", `{"progress":{"current":1,"total":3,"message":"one"},"logs":["a",{"message":"b","stream":"stderr"}],"checkpoint":{"page":1}}`, nil},
		{"worker_heartbeat", "POST /v1/workers/" + h.id + "/heartbeat", `{"leases":["{}"],"memory_bytes":1000000}`, nil},
		{"lease_batch", "POST /v1/leases/batch", `{"items":[{"lease":"{}","op":"heartbeat"},{"lease":"{}","op":"complete","result":{"sent":true}},{"lease":"{}","op":"fail"},{"lease":"x","op":"dance"}]}`, nil},
		{"lease_complete", "POST /v1/leases/{}/complete", `{"result":{"sent":true}}`, nil},
		{"lease_lost", "POST /v1/leases/{}/release", ``, nil},
		{"worker_removed", "DELETE /v1/workers/" + h.id, ``, nil},
	} {
		method, path, _ := strings.Cut(test.request, " ")
		body := test.body
		for _, lease := range leases {
			path, body = strings.ReplaceAll(path, "{}", lease), strings.ReplaceAll(body, "{}", lease)
		}
		a := r.do(method, path, body, test.headers...)
		if test.file == "lease" {
			for _, its := range read[Leases](a.want(200)).Leases {
				leases = append(leases, its.Lease)
			}
		}
		text := strings.TrimSpace(method + " " + path + " " + strings.Join(test.headers, " ") + "\n" + body)
		golden(t, test.file+".txt", aLease.ReplaceAllString(steady(transcript(text, a)), "<lease>"))
		if a.status != 204 {
			conforms(t, r.server, method, path, a)
		}
	}
}
