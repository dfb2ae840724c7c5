package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pgscheduler/scheduler/scheduler"
)

// document is as much of an OpenAPI document as the tests look at.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Parameters  []struct{ Name, In string }
		Responses   map[string]struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				}
			}
		}
	}
}

func parseDocument(t *testing.T, s *server) (d document) {
	t.Helper()
	if err := json.Unmarshal(s.document, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// offline is a server that is never asked for anything but its description.
func offline(t *testing.T) *server {
	t.Helper()
	s, err := newServer(nil, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDocument fails when the description of the API changes, so that a change is seen in review.
func TestDocument(t *testing.T) {
	t.Parallel()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, offline(t).document, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "openapi.json", pretty.String()+"\n")
}

// TestEveryRouteIsDocumented compares the mux with the document, both ways, and parameters in paths with their declaration.
func TestEveryRouteIsDocumented(t *testing.T) {
	t.Parallel()
	s := offline(t)
	var documented []string
	ids := map[string]bool{}
	for path, operations := range parseDocument(t, s).Paths {
		for method, operation := range operations {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			if ids[operation.OperationID] || operation.OperationID == "" || operation.Summary == "" {
				t.Errorf("%s %s has no operationId of its own, or no summary", method, path)
			}
			ids[operation.OperationID] = true
			for part := range strings.SplitSeq(path, "/") {
				name, ok := strings.CutPrefix(part, "{")
				declared := slices.ContainsFunc(operation.Parameters, func(p struct{ Name, In string }) bool {
					return p.In == "path" && p.Name+"}" == name
				})
				if ok && !declared {
					t.Errorf("%s %s does not declare {%s", method, path, name)
				}
			}
		}
	}
	routes := slices.Sorted(slices.Values(s.mux.patterns))
	slices.Sort(documented)
	if !slices.Equal(routes, documented) {
		t.Errorf("the mux has\n%q\nthe document\n%q", routes, documented)
	}
}

// TestEveryRouteIsInTheReference holds the page for people to the mux.
func TestEveryRouteIsInTheReference(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/reference/http.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range offline(t).mux.patterns {
		if !regexp.MustCompile("`" + regexp.QuoteMeta(route) + "[`?]").Match(page) {
			t.Errorf("docs/reference/http.md does not have %s", route)
		}
	}
}

// conforms holds an answer to what the document says of it.
func conforms(t *testing.T, s *server, method, path string, a answer) {
	t.Helper()
	request, err := http.NewRequest(method, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, pattern := s.mux.Handler(request)
	operation, ok := parseDocument(t, s).Paths[strings.TrimPrefix(pattern, method+" ")][strings.ToLower(method)]
	if !ok {
		return // no route, no description
	}
	response, ok := operation.Responses[strconv.Itoa(a.status)]
	if !ok {
		t.Errorf("%s: status %d is not documented", pattern, a.status)
		return
	}
	content, ok := response.Content[a.header.Get("Content-Type")]
	if !ok {
		t.Errorf("%s: %d as %s is not documented", pattern, a.status, a.header.Get("Content-Type"))
		return
	}
	validate(t, s, content.Schema.Ref, a.body)
}

var whatIsDocumented = sync.OnceValue(func() (d document) {
	s, err := newServer(nil, Config{})
	if err == nil {
		err = json.Unmarshal(s.document, &d)
	}
	if err != nil {
		panic(err)
	}
	return d
})

// documented fails a test whose request was answered by a status, or as something, that the document has not for the operation.
func documented(r *rig, request *http.Request, a answer) {
	r.t.Helper()
	_, pattern := r.server.mux.Handler(request)
	method, path, _ := strings.Cut(pattern, " ")
	operation, ok := whatIsDocumented().Paths[path][strings.ToLower(method)]
	if !ok || a.status == http.StatusRequestHeaderFieldsTooLarge { // which net/http answers
		return
	}
	response, ok := operation.Responses[strconv.Itoa(a.status)]
	if !ok && a.status >= http.StatusBadRequest {
		response, ok = operation.Responses["default"]
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	if _, known := response.Content[media]; !ok || media != "" && !known {
		r.t.Errorf("%s is answered by %d, %q, which is not documented", pattern, a.status, media)
	}
}

// validate holds a body to a schema of the document, by the document's own registry.
func validate(t *testing.T, s *server, ref string, body []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatal(err)
	}
	schema := s.submits.registry.SchemaFromRef(ref)
	if schema == nil {
		t.Fatalf("there is no schema %q", ref)
	}
	var result huma.ValidateResult
	huma.Validate(s.submits.registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, &result)
	for _, err := range result.Errors {
		t.Errorf("%s: %v in %s", ref, err, body)
	}
}

// TestValidateRefuses makes sure that conforms can fail.
func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	s := offline(t)
	for _, body := range []string{`{}`, `{"id":5,"command":"run"}`, `{"id":"` + unknownID + `","command":"dance"}`} {
		var value any
		if err := json.Unmarshal([]byte(body), &value); err != nil {
			t.Fatal(err)
		}
		var result huma.ValidateResult
		schema := s.submits.registry.SchemaFromRef("#/components/schemas/WorkerCommand")
		huma.Validate(s.submits.registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, &result)
		if len(result.Errors) == 0 {
			t.Errorf("%s passes as a WorkerCommand", body)
		}
	}
}

// TestEnumsAreComplete holds the lists in struct tags to the lists in code.
func TestEnumsAreComplete(t *testing.T) {
	t.Parallel()
	var states []string
	for _, state := range scheduler.States {
		states = append(states, string(state))
	}
	want := strings.Join(states, ",")
	for _, holder := range []struct {
		of    reflect.Type
		field string
	}{{reflect.TypeFor[Task](), "State"}, {reflect.TypeFor[Submitted](), "State"}, {reflect.TypeFor[listInput](), "State"}} {
		field, _ := holder.of.FieldByName(holder.field)
		if got := field.Tag.Get("enum"); got != want {
			t.Errorf("%s.%s lists %s, want %s", holder.of.Name(), holder.field, got, want)
		}
	}
}

// TestNamesAreThoseOfTheScheduler compares the patterns in the document with the rules that they stand for.
func TestNamesAreThoseOfTheScheduler(t *testing.T) {
	t.Parallel()
	s := offline(t)
	for _, name := range []string{"a", "A_1", "a.b", "a-b", "a:b", "a/b", `a\b`, ".a", "-a", "", "a b", "ä", strings.Repeat("a", 128), strings.Repeat("a", 129), "a\n", "a\x00"} {
		for _, rule := range []struct {
			of    string
			valid bool
			field string
		}{{"queue", scheduler.ValidQueue(scheduler.Queue(name)), "queue"}, {"kind", scheduler.ValidKind(name), "kind"}} {
			schema := queueName("").Schema(nil)
			if rule.of == "kind" {
				schema = kindName("").Schema(nil)
			}
			schema.PrecomputeMessages()
			var result huma.ValidateResult
			huma.Validate(s.submits.registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, name, &result)
			if accepted := len(result.Errors) == 0; accepted != rule.valid {
				t.Errorf("%s %q: here %t, in package scheduler %t", rule.of, name, accepted, rule.valid)
			}
		}
	}
}
