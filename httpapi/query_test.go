package httpapi

import "testing"

// Every route refuses a query that it does not know, streams too: a misspelled parameter would be lost without a word.
func TestQueriesAreStrict(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	id := r.submit(`{"kind":"k"}`).ID
	link := r.submit(`{"kind":"k","watch":true}`).Links.Watch
	for _, stream := range []string{"/v1/tasks/" + id + "/events?", "/v1/events?task=" + id + "&", "/v1/topics/a/events?", link + "/events?"} {
		for query, parameter := range map[string]string{"foo=1": "foo", "after=1&after=1": "after", "after=x": "after", "after=%zz": "", "a;b": "", "AFTER=1": "AFTER"} {
			p := r.get(stream + query).want(422).problem(CodeValidationFailed)
			if p.Errors[0].Parameter != parameter {
				t.Errorf("%s%s: %+v", stream, query, p.Errors)
			}
		}
	}
	for _, query := range []string{"logs=banana", "logs=0", "logs=FALSE", "logs=true&logs=true", "task=" + id} {
		r.get("/v1/tasks/" + id + "/events?" + query).want(422).problem(CodeValidationFailed)
	}
	r.get("/v1/events?logs=banana&task=" + id).want(422)
}

// Faults name the parameter or the member that was given, and say what to give.
func TestFaultsOfFilters(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	long := "%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9"
	for query, want := range map[string]Detail{
		"q=%00": {Parameter: "q", Detail: "up to 200 bytes of UTF-8 without NUL"},
		"q=" + long + long + long + long + long + long + long + long + long + long + long: {Parameter: "q", Detail: "up to 200 bytes of UTF-8 without NUL"},
		"created_after=2026-01-01T00:00:00+02:00":                                         {Parameter: "created_after", Detail: "a time as 2026-01-02T15:04:05Z or 2026-01-02T15:04:05%2B01:00: a + in a query is written %2B"},
		"created_before=yesterday":                                                        {Parameter: "created_before", Detail: "a time as 2026-01-02T15:04:05Z or 2026-01-02T15:04:05%2B01:00: a + in a query is written %2B"},
	} {
		if p := r.get("/v1/tasks?" + query).want(422).problem(CodeValidationFailed); len(p.Errors) != 1 || p.Errors[0] != want {
			t.Errorf("%s: %+v", query, p.Errors)
		}
	}
	r.get("/v1/tasks?cursor=AQAAAAAAAAAAAAAAAAAAAAA").want(400).problem(CodeBadCursor)
	if p := r.post("/v1/tasks/bulk", `{"verb":"retry","filter":{"state":"running"}}`).want(422).problem(CodeValidationFailed); p.Errors[0].Pointer != "/filter/state" {
		t.Errorf("%+v", p.Errors)
	}
	if p := r.post("/v1/tasks", "\xef\xbb\xbf{\"kind\":\"k\"}").want(400).problem(CodeMalformedJSON); p.Detail != "a byte order mark stands before the JSON; send it without" {
		t.Error(p.Detail)
	}
}
