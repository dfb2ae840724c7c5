package httpapi

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzSubmitBody: whatever is accepted has the payload that was sent, and nothing panics.
func FuzzSubmitBody(f *testing.F) {
	s, err := newServer(nil, Config{})
	if err != nil {
		f.Fatal(err)
	}
	for _, test := range badInputs {
		if len(test.body) < 500 {
			f.Add([]byte(test.body))
		}
	}
	f.Add([]byte(`{"kind":"x","payload":{"a":[1,"\ud83d\ude00"]},"run_at":"2030-01-01T00:00:00Z","backoff_ms":[1]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := s.submits.one(body)
		if err != nil {
			return
		}
		_ = request.NewTask()
		if len(body) == 0 {
			return
		}
		var sent struct{ Kind, Queue string }
		if err := json.Unmarshal(body, &sent); err != nil || sent.Kind != request.Kind || sent.Queue != request.Queue {
			t.Errorf("%q was read as %+v, want %+v, %v", body, request, sent, err)
		}
	})
}

// FuzzSplit compares how bodies are taken apart with what encoding/json makes of them.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, ` { "a" : 1 , "b":[1,{"c":"}]\\"}], "d" : null } `, `[1,"a,b",[[]],{},true , -1.5e+3]`, `{"\u0061":"\"","a":{}}`, `5`, `"x"`, `[ ]`, `{"":""}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if checkJSON(raw, "") != nil {
			return
		}
		in := json.NewDecoder(bytes.NewReader(raw))
		open, _ := in.Token()
		object, isObject := members(raw)
		array, isArray := elements(raw, 1<<20)
		if isObject != (open == json.Delim('{')) || isArray != (open == json.Delim('[')) {
			t.Fatalf("%q: object %t, array %t", raw, isObject, isArray)
		}
		for _, m := range object {
			name, err := in.Token()
			if err != nil || name != m.name {
				t.Fatalf("%q: name %q, want %v, %v", raw, m.name, name, err)
			}
			same(t, in, m.value)
		}
		for _, element := range array {
			same(t, in, element)
		}
		if (isObject || isArray) && in.More() {
			t.Fatalf("%q: there is more", raw)
		}
	})
}

// same takes the next value and compares it.
func same(t *testing.T, in *json.Decoder, got json.RawMessage) {
	t.Helper()
	var want json.RawMessage
	if err := in.Decode(&want); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q, want %q, %v", got, want, err)
	}
}
