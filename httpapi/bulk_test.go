package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/scheduler"
)

func TestBulkAndDead(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.failedTask("mail.send")
	dead := r.get("/v1/dead").want(200)
	conforms(t, r.server, "GET", "/v1/dead", dead)
	var groups DeadGroups
	if err := json.Unmarshal(dead.body, &groups); err != nil || len(groups.Items) != 1 || groups.LookedAt != 1 || groups.Items[0].Tasks != 1 {
		t.Fatalf("%s, %v", dead.body, err)
	}
	if text := string(r.get(groups.Items[0].Links.Tasks).want(200).body); !strings.Contains(text, groups.Items[0].Sample) {
		t.Error(text)
	}
	begun := r.post("/v1/tasks/bulk", `{"verb":"retry","filter":{"error_group":"`+groups.Items[0].ErrorGroup+`"}}`).want(202)
	conforms(t, r.server, "POST", "/v1/tasks/bulk", begun)
	var b Bulk
	if err := json.Unmarshal(begun.body, &b); err != nil || b.Total == nil || *b.Total != 1 || begun.header.Get("Location") != b.Links.Self {
		t.Fatalf("%s, %v", begun.body, err)
	}
	id, err := scheduler.ParseBulkID(b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.client.DoBulk(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if text := string(r.get(b.Links.Self).want(200).body); !strings.Contains(text, `"state":"done"`) || !strings.Contains(text, `"done":1,`) {
		t.Error(text)
	}
	if text := string(r.get("/v1/bulk").want(200).body); !strings.Contains(text, b.ID) {
		t.Error(text)
	}
	r.do("POST", b.Links.Cancel, "").want(404)
	r.get("/v1/bulk/01a1fbc0-c975-7f37-a6be-a8f3e8777fbf").want(404)
	for _, bad := range []string{`{}`, `{"verb":"retry"}`, `{"verb":"retry","filter":null}`, `{"verb":"run","filter":{}}`, `{"verb":"retry","filter":{"limit":1}}`,
		`{"verb":"retry","filter":{"queue":"a b"}}`, `{"verb":"cancel","filter":{"state":"failed"}}`, `{"verb":"retry","filter":[]}`,
		`{"verb":"cancel","filter":{"tag":""}}`, `{"verb":"cancel","filter":{"q":""}}`, `{"verb":"cancel","filter":{"error_group":""}}`, // of a program that has lost a value
		`{"verb":"cancel","filter":{"queue":""}}`, `{"verb":"cancel","filter":{"kind":""}}`, `{"verb":"cancel","filter":{"state":""}}`} {
		r.post("/v1/tasks/bulk", bad).want(422)
	}
}
