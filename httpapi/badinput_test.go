package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

const unknownID = "01a1fbc0-c975-7f37-a6be-a8f3e8777fbf"

// badInputs are requests that must be refused with their code, and where the problem points.
var badInputs = []struct {
	name    string
	request string // method and path
	body    string
	headers []string
	code    Code
	where   string // pointer, parameter or header of the first fault; "" is not looked at
}{
	// Bodies that are no JSON.
	{"empty body", "POST /v1/tasks", "", nil, CodeMalformedJSON, ""},
	{"not JSON", "POST /v1/tasks", "kind=x", nil, CodeMalformedJSON, ""},
	{"cut off", "POST /v1/tasks", `{"kind":"x"`, nil, CodeMalformedJSON, ""},
	{"two values", "POST /v1/tasks", `{"kind":"x"} {"kind":"x"}`, nil, CodeMalformedJSON, ""},
	{"trailing comma", "POST /v1/tasks", `{"kind":"x",}`, nil, CodeMalformedJSON, ""},
	{"byte order mark", "POST /v1/tasks", "\uFEFF" + `{"kind":"x"}`, nil, CodeMalformedJSON, ""},
	{"not UTF-8", "POST /v1/tasks", "{\"kind\":\"\xff\"}", nil, CodeMalformedJSON, ""},
	{"NUL byte", "POST /v1/tasks", "{\"kind\":\"a\x00b\"}", nil, CodeMalformedJSON, ""},
	{"NaN", "POST /v1/tasks", `{"kind":"x","priority":NaN}`, nil, CodeMalformedJSON, ""},
	// JSON that PostgreSQL can't hold.
	{"NUL in the payload", "POST /v1/tasks", `{"kind":"x","payload":{"a":"\u0000"}}`, nil, CodeMalformedJSON, "/payload"},
	{"NUL in a key of the payload", "POST /v1/tasks", `{"kind":"x","payload":{"\u0000":1}}`, nil, CodeMalformedJSON, "/payload"},
	{"NUL in a field", "POST /v1/tasks", `{"kind":"x","unique_key":"\u0000"}`, nil, CodeMalformedJSON, "/unique_key"},
	{"lone high surrogate", "POST /v1/tasks", `{"kind":"x","payload":"\ud800"}`, nil, CodeMalformedJSON, "/payload"},
	{"lone low surrogate", "POST /v1/tasks", `{"kind":"x","payload":"\udc00x"}`, nil, CodeMalformedJSON, "/payload"},
	{"two high surrogates", "POST /v1/tasks", `{"kind":"x","payload":"\ud800\ud800"}`, nil, CodeMalformedJSON, "/payload"},
	{"surrogate in a field", "POST /v1/tasks", `{"kind":"x","idempotency_key":"\ud800"}`, nil, CodeMalformedJSON, "/idempotency_key"},
	{"depth 65", "POST /v1/tasks", `{"kind":"x","payload":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`, nil, CodeMalformedJSON, "/payload"},
	{"depth 9000", "POST /v1/tasks", `{"kind":"x","payload":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`, nil, CodeMalformedJSON, "/payload"},
	{"depth 10000", "POST /v1/tasks", `{"kind":"x","payload":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, nil, CodeMalformedJSON, ""},
	{"depth 500000, never closed", "POST /v1/tasks", `{"kind":"x","payload":` + strings.Repeat("[", 500000), nil, CodeMalformedJSON, ""},
	{"depth by objects", "POST /v1/tasks", `{"kind":"x","payload":` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100) + `}`, nil, CodeMalformedJSON, "/payload"},
	{"number with a huge exponent", "POST /v1/tasks", `{"kind":"x","payload":1e999999}`, nil, CodeMalformedJSON, "/payload"},
	{"number with 5000 digits", "POST /v1/tasks", `{"kind":"x","payload":` + strings.Repeat("9", 5000) + `}`, nil, CodeMalformedJSON, "/payload"},
	// Wrong types and unknown members.
	{"array for an object", "POST /v1/tasks", `[]`, nil, CodeValidationFailed, ""},
	{"null for an object", "POST /v1/tasks", `null`, nil, CodeValidationFailed, ""},
	{"string for an object", "POST /v1/tasks", `"x"`, nil, CodeValidationFailed, ""},
	{"no kind", "POST /v1/tasks", `{}`, nil, CodeValidationFailed, "/kind"},
	{"null kind", "POST /v1/tasks", `{"kind":null}`, nil, CodeValidationFailed, "/kind"},
	{"number for kind", "POST /v1/tasks", `{"kind":1}`, nil, CodeValidationFailed, "/kind"},
	{"string for priority", "POST /v1/tasks", `{"kind":"x","priority":"1"}`, nil, CodeValidationFailed, "/priority"},
	{"fraction for priority", "POST /v1/tasks", `{"kind":"x","priority":1.5}`, nil, CodeValidationFailed, "/priority"},
	{"1.0 for priority", "POST /v1/tasks", `{"kind":"x","priority":1.0}`, nil, CodeValidationFailed, "/priority"},
	{"object for run_at", "POST /v1/tasks", `{"kind":"x","run_at":{}}`, nil, CodeValidationFailed, "/run_at"},
	{"string in backoff_ms", "POST /v1/tasks", `{"kind":"x","backoff_ms":[1,"2"]}`, nil, CodeValidationFailed, "/backoff_ms/1"},
	{"null in backoff_ms", "POST /v1/tasks", `{"kind":"x","backoff_ms":[null]}`, nil, CodeValidationFailed, "/backoff_ms/0"},
	{"unknown member", "POST /v1/tasks", `{"kind":"x","pritority":1}`, nil, CodeValidationFailed, "/pritority"},
	{"member in another case", "POST /v1/tasks", `{"Kind":"x"}`, nil, CodeValidationFailed, "/Kind"},
	{"member given twice", "POST /v1/tasks", `{"kind":"x","kind":"y"}`, nil, CodeValidationFailed, "/kind"},
	{"member with a slash", "POST /v1/tasks", `{"kind":"x","a/b~c":1}`, nil, CodeValidationFailed, "/a~1b~0c"},
	{"server's own field", "POST /v1/tasks", `{"kind":"x","state":"completed"}`, nil, CodeValidationFailed, "/state"},
	// Values out of bounds.
	{"kind of 10,000 characters", "POST /v1/tasks", `{"kind":"` + strings.Repeat("k", 10000) + `"}`, nil, CodeValidationFailed, "/kind"},
	{"kind with a space", "POST /v1/tasks", `{"kind":"a b"}`, nil, CodeValidationFailed, "/kind"},
	{"empty kind", "POST /v1/tasks", `{"kind":""}`, nil, CodeValidationFailed, "/kind"},
	{"queue with a slash", "POST /v1/tasks", `{"kind":"x","queue":"a/b"}`, nil, CodeValidationFailed, "/queue"},
	{"empty queue", "POST /v1/tasks", `{"kind":"x","queue":""}`, nil, CodeValidationFailed, "/queue"},
	{"priority 99999999999", "POST /v1/tasks", `{"kind":"x","priority":99999999999}`, nil, CodeValidationFailed, "/priority"},
	{"priority of 30 digits", "POST /v1/tasks", `{"kind":"x","priority":` + strings.Repeat("9", 30) + `}`, nil, CodeValidationFailed, "/priority"},
	{"priority 1e308", "POST /v1/tasks", `{"kind":"x","priority":1e308}`, nil, CodeValidationFailed, "/priority"},
	{"priority 1e399", "POST /v1/tasks", `{"kind":"x","priority":1e399}`, nil, CodeValidationFailed, "/priority"},
	{"run_at in year 9999999", "POST /v1/tasks", `{"kind":"x","run_at":"9999999-01-01T00:00:00Z"}`, nil, CodeValidationFailed, "/run_at"},
	{"run_at in year 0", "POST /v1/tasks", `{"kind":"x","run_at":"0000-01-01T00:00:00Z"}`, nil, CodeValidationFailed, "/run_at"},
	{"run_at is Go's zero time", "POST /v1/tasks", `{"kind":"x","run_at":"0001-01-01T00:00:00Z"}`, nil, CodeValidationFailed, "/run_at"},
	{"expires_at is Go's zero time", "POST /v1/tasks", `{"kind":"x","expires_at":"0001-01-01T00:00:00Z"}`, nil, CodeValidationFailed, "/expires_at"},
	{"Go's zero time by another zone", "POST /v1/tasks", `{"kind":"x","expires_at":"0001-01-01T01:00:00+01:00"}`, nil, CodeValidationFailed, "/expires_at"},
	{"expires_at in 1969", "POST /v1/tasks", `{"kind":"x","expires_at":"1969-12-31T23:59:59Z"}`, nil, CodeValidationFailed, "/expires_at"},
	{"run_at is no time", "POST /v1/tasks", `{"kind":"x","run_at":"tomorrow"}`, nil, CodeValidationFailed, "/run_at"},
	{"run_at without zone", "POST /v1/tasks", `{"kind":"x","run_at":"2030-01-01T00:00:00"}`, nil, CodeValidationFailed, "/run_at"},
	{"run_at of the 30th of February", "POST /v1/tasks", `{"kind":"x","run_at":"2030-02-30T00:00:00Z"}`, nil, CodeValidationFailed, "/run_at"},
	{"negative delay", "POST /v1/tasks", `{"kind":"x","delay_ms":-1}`, nil, CodeValidationFailed, "/delay_ms"},
	{"delay beyond 64 bits of nanoseconds", "POST /v1/tasks", `{"kind":"x","delay_ms":9223372036854775807}`, nil, CodeValidationFailed, "/delay_ms"},
	{"delay beyond 64 bits", "POST /v1/tasks", `{"kind":"x","delay_ms":9223372036854775808}`, nil, CodeValidationFailed, "/delay_ms"},
	{"delay and run_at", "POST /v1/tasks", `{"kind":"x","delay_ms":5,"run_at":"2030-01-01T00:00:00Z"}`, nil, CodeValidationFailed, "/delay_ms"},
	{"no delay and run_at", "POST /v1/tasks", `{"kind":"x","delay_ms":0,"run_at":"2030-01-01T00:00:00Z"}`, nil, CodeValidationFailed, "/delay_ms"},
	{"max_attempts 0", "POST /v1/tasks", `{"kind":"x","max_attempts":0}`, nil, CodeValidationFailed, "/max_attempts"},
	{"max_attempts 1001", "POST /v1/tasks", `{"kind":"x","max_attempts":1001}`, nil, CodeValidationFailed, "/max_attempts"},
	{"timeout 0", "POST /v1/tasks", `{"kind":"x","timeout_ms":0}`, nil, CodeValidationFailed, "/timeout_ms"},
	{"negative timeout", "POST /v1/tasks", `{"kind":"x","timeout_ms":-5}`, nil, CodeValidationFailed, "/timeout_ms"},
	{"negative backoff", "POST /v1/tasks", `{"kind":"x","backoff_ms":[-1]}`, nil, CodeValidationFailed, "/backoff_ms/0"},
	{"backoff beyond its bound", "POST /v1/tasks", `{"kind":"x","backoff_ms":[0,31557600001]}`, nil, CodeValidationFailed, "/backoff_ms/1"},
	{"backoff beyond 64 bits", "POST /v1/tasks", `{"kind":"x","backoff_ms":[9223372036854775808]}`, nil, CodeValidationFailed, "/backoff_ms/0"},
	{"1.0 in backoff", "POST /v1/tasks", `{"kind":"x","backoff_ms":[1.0]}`, nil, CodeValidationFailed, "/backoff_ms"},
	{"empty backoff", "POST /v1/tasks", `{"kind":"x","backoff_ms":[]}`, nil, CodeValidationFailed, "/backoff_ms"},
	{"backoff of 101", "POST /v1/tasks", `{"kind":"x","backoff_ms":[` + strings.Repeat("1,", 100) + `1]}`, nil, CodeValidationFailed, "/backoff_ms"},
	{"empty unique_key", "POST /v1/tasks", `{"kind":"x","unique_key":""}`, nil, CodeValidationFailed, "/unique_key"},
	{"unique_key of 256", "POST /v1/tasks", `{"kind":"x","unique_key":"` + strings.Repeat("u", 256) + `"}`, nil, CodeValidationFailed, "/unique_key"},
	{"unique_key of 255 characters and more bytes", "POST /v1/tasks", `{"kind":"x","unique_key":"` + strings.Repeat("ü", 200) + `"}`, nil, CodeValidationFailed, "/unique_key"},
	{"payload of 300 KB", "POST /v1/tasks", `{"kind":"x","payload":"` + strings.Repeat("p", 300<<10) + `"}`, nil, CodeValidationFailed, "/payload"},
	{"payload of 2 MB", "POST /v1/tasks", `{"kind":"x","payload":"` + strings.Repeat("p", 2<<20) + `"}`, nil, CodePayloadTooLarge, ""},
	// Headers.
	{"idempotency key of 300", "POST /v1/tasks", `{"kind":"x"}`, []string{"Idempotency-Key", strings.Repeat("k", 300)}, CodeValidationFailed, "Idempotency-Key"},
	{"idempotency key without closing quote", "POST /v1/tasks", `{"kind":"x"}`, []string{"Idempotency-Key", `"k`}, CodeValidationFailed, "Idempotency-Key"},
	{"idempotency key that is not UTF-8", "POST /v1/tasks", `{"kind":"x"}`, []string{"Idempotency-Key", "\xff"}, CodeValidationFailed, "Idempotency-Key"},
	{"two idempotency keys", "POST /v1/tasks", `{"kind":"x"}`, []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, CodeValidationFailed, "Idempotency-Key"},
	{"idempotency keys that differ", "POST /v1/tasks", `{"kind":"x","idempotency_key":"a"}`, []string{"Idempotency-Key", "b"}, CodeValidationFailed, "/idempotency_key"},
	{"request id of 300", "POST /v1/tasks", `{"kind":"x"}`, []string{"X-Request-Id", strings.Repeat("k", 300)}, CodeValidationFailed, "X-Request-Id"},
	{"XML", "POST /v1/tasks", `{"kind":"x"}`, []string{"Content-Type", "application/xml"}, CodeUnsupportedMediaType, "Content-Type"},
	{"text, as a form of another site could send", "POST /v1/tasks", `{"kind":"x"}`, []string{"Content-Type", "text/plain"}, CodeUnsupportedMediaType, "Content-Type"},
	{"a media type that is none", "POST /v1/tasks", `{"kind":"x"}`, []string{"Content-Type", ";;"}, CodeUnsupportedMediaType, "Content-Type"},
	{"JSON in Latin-1", "POST /v1/tasks", `{"kind":"x"}`, []string{"Content-Type", "application/json; charset=latin1"}, CodeUnsupportedMediaType, "Content-Type"},
	{"lines where one object belongs", "POST /v1/tasks", `{"kind":"x"}`, []string{"Content-Type", "application/x-ndjson"}, CodeUnsupportedMediaType, "Content-Type"},
	{"compressed", "POST /v1/tasks", `{"kind":"x"}`, []string{"Content-Encoding", "gzip"}, CodeUnsupportedMediaType, "Content-Encoding"},
	// Batches.
	{"batch that is no array", "POST /v1/tasks/batch", `{"kind":"x"}`, nil, CodeValidationFailed, ""},
	{"empty batch", "POST /v1/tasks/batch", `[]`, nil, CodeValidationFailed, ""},
	{"batch of blank lines", "POST /v1/tasks/batch", "\n\n", []string{"Content-Type", "application/x-ndjson"}, CodeValidationFailed, ""},
	{"batch of 10,001", "POST /v1/tasks/batch", "[" + strings.Repeat("1,", 10000) + "1]", nil, CodeValidationFailed, ""},
	{"batch with a number", "POST /v1/tasks/batch", `[{"kind":"x"},5]`, nil, CodeValidationFailed, "/1"},
	{"batch with a bad element", "POST /v1/tasks/batch", `[{"kind":"x"},{"kind":"x"},{"kind":"x"},{"kind":"x","payload":"\u0000"}]`, nil, CodeMalformedJSON, "/3/payload"},
	{"batch with a bad field", "POST /v1/tasks/batch", `[{"kind":"x"},{"kind":"x","priority":"high"}]`, nil, CodeValidationFailed, "/1/priority"},
	{"batch with a bad name", "POST /v1/tasks/batch", `[{"kind":"x"},{"kind":"a b"}]`, nil, CodeValidationFailed, "/1/kind"},
	{"batch with Go's zero time", "POST /v1/tasks/batch", `[{"kind":"x"},{"kind":"x","run_at":"0001-01-01T00:00:00Z"}]`, nil, CodeValidationFailed, "/1/run_at"},
	{"batch with a great payload", "POST /v1/tasks/batch", `[{"kind":"x"},{"kind":"x","payload":"` + strings.Repeat("p", 300<<10) + `"}]`, nil, CodeValidationFailed, "/1/payload"},
	{"batch of one great payload", "POST /v1/tasks/batch", `[{"kind":"x","payload":"` + strings.Repeat("p", 300<<10) + `"}]`, nil, CodeValidationFailed, "/0/payload"},
	{"batch with an idempotency key for all", "POST /v1/tasks/batch", `[{"kind":"x"}]`, []string{"Idempotency-Key", "k"}, CodeValidationFailed, "Idempotency-Key"},
	{"batch of 17 MB", "POST /v1/tasks/batch", `["` + strings.Repeat("p", 17<<20) + `"]`, nil, CodePayloadTooLarge, ""},
	// Paths.
	{"id that is none", "GET /v1/tasks/42", "", nil, CodeValidationFailed, "id"},
	{"id in braces", "GET /v1/tasks/%7B" + unknownID + "%7D", "", nil, CodeValidationFailed, "id"},
	{"id as URN", "GET /v1/tasks/urn:uuid:" + unknownID, "", nil, CodeValidationFailed, "id"},
	{"NUL in an id", "GET /v1/tasks/%00", "", nil, CodeValidationFailed, "id"},
	{"id of 10,000 characters", "GET /v1/tasks/" + strings.Repeat("a", 10000), "", nil, CodeValidationFailed, "id"},
	{"bad id to cancel", "POST /v1/tasks/x/cancel", "", nil, CodeValidationFailed, "id"},
	{"bad id to retry", "POST /v1/tasks/x/retry", "", nil, CodeValidationFailed, "id"},
	{"bad id to delete", "DELETE /v1/tasks/x", "", nil, CodeValidationFailed, "id"},
	{"bad id of attempts", "GET /v1/tasks/x/attempts", "", nil, CodeValidationFailed, "id"},
	{"bad id of a worker", "POST /v1/workers/x/quiet", "", nil, CodeValidationFailed, "id"},
	{"unknown id", "GET /v1/tasks/" + unknownID, "", nil, CodeNotFound, ""},
	{"unknown id to cancel", "POST /v1/tasks/" + unknownID + "/cancel", "", nil, CodeNotFound, ""},
	{"unknown id to retry", "POST /v1/tasks/" + unknownID + "/retry", "", nil, CodeNotFound, ""},
	{"unknown id to delete", "DELETE /v1/tasks/" + unknownID, "", nil, CodeNotFound, ""},
	{"unknown id of attempts", "GET /v1/tasks/" + unknownID + "/attempts", "", nil, CodeNotFound, ""},
	{"unknown id of logs", "GET /v1/tasks/" + unknownID + "/logs", "", nil, CodeNotFound, ""},
	{"unknown id of why", "GET /v1/tasks/" + unknownID + "/why", "", nil, CodeNotFound, ""},
	{"unknown worker", "POST /v1/workers/" + unknownID + "/stop", "", nil, CodeNotFound, ""},
	{"queue that can't be", "POST /v1/queues/a%20b/pause", "", nil, CodeValidationFailed, "queue"},
	{"NUL in a queue", "POST /v1/queues/%00/resume", "", nil, CodeValidationFailed, "queue"},
	{"schedule that can't be", "GET /v1/schedules/%ff", "", nil, CodeValidationFailed, "name"},
	{"NUL in a schedule", "DELETE /v1/schedules/a%00", "", nil, CodeValidationFailed, "name"},
	{"unknown path", "GET /v1/nothing", "", nil, CodeNotFound, ""},
	{"path with a slash too many", "GET /v1/tasks/", "", nil, CodeNotFound, ""},
	{"method of no use", "PATCH /v1/tasks", "", nil, CodeMethodNotAllowed, ""},
	{"GET of a path that only takes POST", "GET /v1/tasks/batch", "", nil, CodeMethodNotAllowed, ""},
	{"DELETE of a path that only takes POST", "DELETE /v1/tasks/batch", "", nil, CodeMethodNotAllowed, ""},
	{"path with an empty segment", "GET /v1//tasks", "", nil, CodeNotFound, ""},
	{"path that begins with an empty segment", "POST //v1/tasks", `{"kind":"x"}`, nil, CodeNotFound, ""},
	{"path with a dot", "GET /v1/./tasks", "", nil, CodeNotFound, ""},
	{"path that climbs", "GET /v1/queues/../tasks", "", nil, CodeNotFound, ""},
	{"path of slashes", "GET /v1//", "", nil, CodeNotFound, ""},
	// Bodies where none belongs.
	{"retry with a member", "POST /v1/tasks/" + unknownID + "/retry", `{"reason":"x"}`, nil, CodeValidationFailed, "/reason"},
	{"retry with an array", "POST /v1/tasks/" + unknownID + "/retry", `[]`, nil, CodeValidationFailed, ""},
	{"retry with junk", "POST /v1/tasks/" + unknownID + "/retry", `reason`, nil, CodeMalformedJSON, ""},
	{"retry with 2 MB", "POST /v1/tasks/" + unknownID + "/retry", strings.Repeat(" ", 2<<20), nil, CodePayloadTooLarge, ""},
	{"retry with nothing in an object", "POST /v1/tasks/" + unknownID + "/retry", ` {} `, nil, CodeNotFound, ""},
	{"pause with a member", "POST /v1/queues/q/pause", `{"until":"tomorrow"}`, nil, CodeValidationFailed, "/until"},
	{"resume with null", "POST /v1/queues/q/resume", `null`, nil, CodeValidationFailed, ""},
	{"quiet with a member", "POST /v1/workers/" + unknownID + "/quiet", `{"x":1}`, nil, CodeValidationFailed, "/x"},
	{"stop with a member", "POST /v1/workers/" + unknownID + "/stop", `{"x":1}`, nil, CodeValidationFailed, "/x"},
	{"run with a member", "POST /v1/workers/" + unknownID + "/run", `{"x":1}`, nil, CodeValidationFailed, "/x"},
	{"pause of a schedule with a member", "POST /v1/schedules/x/pause", `{"x":1}`, nil, CodeValidationFailed, "/x"},
	{"resume of a schedule with a member", "POST /v1/schedules/x/resume", `{"x":1}`, nil, CodeValidationFailed, "/x"},
	{"trigger with a payload", "POST /v1/schedules/x/trigger", `{"payload":1}`, nil, CodeValidationFailed, "/payload"},
	// Queries.
	{"limit 0", "GET /v1/tasks?limit=0", "", nil, CodeValidationFailed, "limit"},
	{"limit 501", "GET /v1/tasks?limit=501", "", nil, CodeValidationFailed, "limit"},
	{"limit -1", "GET /v1/tasks?limit=-1", "", nil, CodeValidationFailed, "limit"},
	{"limit NaN", "GET /v1/tasks?limit=NaN", "", nil, CodeValidationFailed, "limit"},
	{"limit 1e2", "GET /v1/tasks?limit=1e2", "", nil, CodeValidationFailed, "limit"},
	{"limit of 30 digits", "GET /v1/tasks?limit=" + strings.Repeat("9", 30), "", nil, CodeValidationFailed, "limit"},
	{"limit twice", "GET /v1/tasks?limit=1&limit=2", "", nil, CodeValidationFailed, "limit"},
	{"unknown parameter", "GET /v1/tasks?stat=failed", "", nil, CodeValidationFailed, "stat"},
	{"parameter where none is known", "GET /v1/queues?x=1", "", nil, CodeValidationFailed, "x"},
	{"unknown state", "GET /v1/tasks?state=dead", "", nil, CodeValidationFailed, "state"},
	{"NUL in a kind", "GET /v1/tasks?kind=%00", "", nil, CodeValidationFailed, "kind"},
	{"queue that is not UTF-8", "GET /v1/tasks?queue=%ff", "", nil, CodeValidationFailed, "queue"},
	{"percent-encoding cut off", "GET /v1/tasks?queue=%f", "", nil, CodeValidationFailed, ""},
	{"semicolon", "GET /v1/tasks?queue=a;b", "", nil, CodeValidationFailed, ""},
	{"cursor that is none", "GET /v1/tasks?cursor=42", "", nil, CodeBadCursor, "cursor"},
	{"cursor of an id", "GET /v1/tasks?cursor=" + unknownID, "", nil, CodeBadCursor, "cursor"},
	{"cursor of another kind", "GET /v1/tasks?cursor=" + strings.Repeat("A", 23), "", nil, CodeBadCursor, "cursor"},
	{"cursor of 5,000 characters", "GET /v1/tasks?cursor=" + strings.Repeat("A", 5000), "", nil, CodeBadCursor, "cursor"},
	{"negative after", "GET /v1/tasks/" + unknownID + "/logs?after=-1", "", nil, CodeValidationFailed, "after"},
	{"after beyond 64 bits", "GET /v1/tasks/" + unknownID + "/logs?after=9223372036854775808", "", nil, CodeValidationFailed, "after"},
	{"count 0", "GET /v1/schedules/x/next?count=0", "", nil, CodeValidationFailed, "count"},
	{"count 101", "GET /v1/schedules/x/next?count=101", "", nil, CodeValidationFailed, "count"},
	// Topics.
	{"topic with a wildcard", "POST /v1/topics/a.*/publish", `{}`, nil, CodeValidationFailed, "topic"},
	{"topic with an empty word", "POST /v1/topics/a../publish", `{}`, nil, CodeValidationFailed, "topic"},
	{"topic with a slash", "POST /v1/topics/a%2Fb/publish", `{}`, nil, CodeValidationFailed, "topic"},
	{"topic with NUL", "POST /v1/topics/a%00/publish", `{}`, nil, CodeValidationFailed, "topic"},
	{"topic that is not UTF-8", "POST /v1/topics/%ff/publish", `{}`, nil, CodeValidationFailed, "topic"},
	{"topic of 256", "POST /v1/topics/" + strings.Repeat("a", 256) + "/publish", `{}`, nil, CodeValidationFailed, "topic"},
	{"publish of an array", "POST /v1/topics/a/publish", `[]`, nil, CodeValidationFailed, ""},
	{"publish with a queue", "POST /v1/topics/a/publish", `{"queue":"x"}`, nil, CodeValidationFailed, "/queue"},
	{"publish of NUL", "POST /v1/topics/a/publish", `{"payload":"\u0000"}`, nil, CodeMalformedJSON, "/payload"},
	{"publish of 300 KB", "POST /v1/topics/a/publish", `{"payload":"` + strings.Repeat("p", 300<<10) + `"}`, nil, CodeValidationFailed, "/payload"},
	{"publish with a key of 300", "POST /v1/topics/a/publish", `{}`, []string{"Idempotency-Key", strings.Repeat("k", 300)}, CodeValidationFailed, "Idempotency-Key"},
	{"subscription without a pattern", "PUT /v1/subscriptions/x", `{"kind":"x"}`, nil, CodeValidationFailed, "/pattern"},
	{"subscription with a bad pattern", "PUT /v1/subscriptions/x", `{"kind":"x","pattern":"a*"}`, nil, CodeValidationFailed, "/pattern"},
	{"subscription with an empty pattern", "PUT /v1/subscriptions/x", `{"kind":"x","pattern":""}`, nil, CodeValidationFailed, "/pattern"},
	{"subscription without a kind", "PUT /v1/subscriptions/x", `{"pattern":"a"}`, nil, CodeValidationFailed, "/kind"},
	{"subscription with a bad queue", "PUT /v1/subscriptions/x", `{"kind":"x","pattern":"a","queue":"a b"}`, nil, CodeValidationFailed, "/queue"},
	{"subscription that can't be", "PUT /v1/subscriptions/%20", `{"kind":"x","pattern":"a"}`, nil, CodeValidationFailed, "name"},
	{"unknown subscription", "GET /v1/subscriptions/nothing", "", nil, CodeNotFound, ""},
	{"subscriptions of a pattern", "GET /v1/subscriptions?topic=%23", "", nil, CodeValidationFailed, "topic"},
	{"bad pattern to follow", "GET /v1/topics/a..b/events", "", nil, CodeValidationFailed, "pattern"},
	{"NUL to follow", "GET /v1/topics/%00/events", "", nil, CodeValidationFailed, "pattern"},
	{"bad position", "GET /v1/topics/a/events?after=x", "", nil, CodeValidationFailed, "after"},
	{"negative position", "GET /v1/topics/a/events?after=-1.5", "", nil, CodeValidationFailed, "after"},
	{"two positions", "GET /v1/topics/a/events?after=1.1&after=1.2", "", nil, CodeValidationFailed, "after"},
	{"bad position in the header", "GET /v1/topics/a/events", "", []string{"Last-Event-ID", "12"}, CodeValidationFailed, "Last-Event-ID"},
	{"unknown parameter of a topic", "GET /v1/topics/a/events?task=x", "", nil, CodeValidationFailed, "task"},
	// Schedules.
	{"bad cron", "PUT /v1/schedules/x", `{"expression":"61 * * * *","kind":"x"}`, nil, CodeBadCron, "/expression"},
	{"cron with a zone inside", "PUT /v1/schedules/x", `{"expression":"TZ=0","kind":"x"}`, nil, CodeBadCron, "/expression"},
	{"cron that never fires", "PUT /v1/schedules/x", `{"expression":"0 0 31 2 *","kind":"x"}`, nil, CodeBadCron, "/expression"},
	{"unknown zone", "PUT /v1/schedules/x", `{"expression":"0 0 * * *","zone":"Mars/Olympus","kind":"x"}`, nil, CodeBadCron, "/zone"},
	{"zone that climbs", "PUT /v1/schedules/x", `{"expression":"0 0 * * *","zone":"../../etc/passwd","kind":"x"}`, nil, CodeBadCron, "/zone"},
	{"no expression", "PUT /v1/schedules/x", `{"kind":"x"}`, nil, CodeValidationFailed, "/expression"},
	{"schedule of a bad kind", "PUT /v1/schedules/x", `{"expression":"0 0 * * *","kind":"a b"}`, nil, CodeValidationFailed, "/kind"},
	{"schedule without body", "PUT /v1/schedules/x", "", nil, CodeMalformedJSON, ""},
	{"unknown schedule", "GET /v1/schedules/x", "", nil, CodeNotFound, ""},
	{"unknown schedule to delete", "DELETE /v1/schedules/x", "", nil, CodeNotFound, ""},
	{"unknown schedule to pause", "POST /v1/schedules/x/pause", "", nil, CodeNotFound, ""},
	{"unknown schedule to resume", "POST /v1/schedules/x/resume", "", nil, CodeNotFound, ""},
	{"unknown schedule to trigger", "POST /v1/schedules/x/trigger", "", nil, CodeNotFound, ""},
	{"unknown schedule to look ahead", "GET /v1/schedules/x/next", "", nil, CodeNotFound, ""},
	// Cancel.
	{"cancel with an unknown member", "POST /v1/tasks/" + unknownID + "/cancel", `{"why":"x"}`, nil, CodeValidationFailed, "/why"},
	{"cancel with a number", "POST /v1/tasks/" + unknownID + "/cancel", `{"reason":1}`, nil, CodeValidationFailed, "/reason"},
	{"cancel with 1,001 characters", "POST /v1/tasks/" + unknownID + "/cancel", `{"reason":"` + strings.Repeat("r", 1001) + `"}`, nil, CodeValidationFailed, "/reason"},
	{"cancel that is no JSON", "POST /v1/tasks/" + unknownID + "/cancel", `reason`, nil, CodeMalformedJSON, ""},
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for _, test := range badInputs {
		t.Run(test.name, func(t *testing.T) {
			r := *r
			r.t = t
			method, path, _ := strings.Cut(test.request, " ")
			p := r.do(method, path, test.body, test.headers...).problem(test.code)
			if test.where == "" {
				return
			}
			if p.Errors == nil || p.Errors[0].Pointer+p.Errors[0].Parameter+p.Errors[0].Header != test.where {
				t.Errorf("points at %+v, want %s", p.Errors, test.where)
			}
		})
	}
	for _, table := range []string{"tasks", "schedules", "queues", "attempts"} {
		if n := r.count(table); n != 0 {
			t.Errorf("%d rows in %s after nothing but refused requests", n, table)
		}
	}
	if log := r.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Errorf("refusing bad input is nothing to warn of:\n%s", log)
	}
}

// TestWording has the messages that tell a person what to send instead.
func TestWording(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for _, test := range []struct{ path, body, detail string }{
		{"/v1/tasks", `[]`, "expected an object"},
		{"/v1/tasks", `null`, "expected an object"},
		{"/v1/tasks", `5`, "expected an object"},
		{"/v1/tasks/batch", `5`, "expected an array of 1 to 10000 tasks, or lines of application/x-ndjson"},
		{"/v1/tasks/batch", `[5]`, "/0: expected an object"},
		{"/v1/tasks", `{"kind":"x","delay_ms":9223372036854775808}`, "/delay_ms: expected number <= 3155760000000"},
		{"/v1/tasks", `{"kind":"x","timeout_ms":31557600001}`, "/timeout_ms: expected number <= 31557600000"},
		{"/v1/tasks", `{"kind":"x","backoff_ms":[9223372036854775808]}`, "/backoff_ms/0: expected number <= 31557600000"},
		{"/v1/tasks", `{"kind":"x","backoff_ms":[1.0]}`, "/backoff_ms: expected array of integers"},
		{"/v1/tasks", `{"kind":"x","backoff_ms":[1e399]}`, "/backoff_ms: a number out of range"},
		{"/v1/tasks", `{"kind":"x","expires_at":"0001-01-01T00:00:00Z"}`, "/expires_at: a time between the years 1970 and 9999"},
	} {
		if p := r.post(test.path, test.body).problem(CodeValidationFailed); p.Detail != test.detail {
			t.Errorf("%s says %q, want %q", test.body, p.Detail, test.detail)
		}
	}
}

// TestManyFaults names them all, up to a bound.
func TestManyFaults(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	p := r.post("/v1/tasks", `{"kind":"x","priority":"a","delay_ms":-1,"nope":1}`).problem(CodeValidationFailed)
	if len(p.Errors) != 3 {
		t.Errorf("%d faults, want 3: %+v", len(p.Errors), p.Errors)
	}
	p = r.post("/v1/tasks/batch", "["+strings.Repeat(`{"kind":1},`, 100)+`{}]`).problem(CodeValidationFailed)
	if len(p.Errors) != maxDetails {
		t.Errorf("%d faults, want %d", len(p.Errors), maxDetails)
	}
}

// TestGoodInput is what looks odd and is right.
func TestGoodInput(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for _, test := range []struct {
		name, body string
		headers    []string
	}{
		{"form, as curl -d says", `{"kind":"x"}`, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"charset", `{"kind":"x"}`, []string{"Content-Type", "application/json; charset=UTF-8"}},
		{"identity", `{"kind":"x"}`, []string{"Content-Encoding", "identity"}},
		{"white space", " \n\t{ \"kind\" : \"x\" }\r\n", nil},
		{"escaped name", `{"\u006bind":"x"}`, nil},
		{"nulls", `{"kind":"x","queue":null,"priority":null,"run_at":null,"delay_ms":null,"backoff_ms":null,"unique_key":null}`, nil},
		{"payload null", `{"kind":"x","payload":null}`, nil},
		{"payload of a scalar", `{"kind":"x","payload":"\ud83d\ude00"}`, nil},
		{"payload of a great number", `{"kind":"x","payload":1e399}`, nil},
		{"payload of depth 64", `{"kind":"x","payload":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, nil},
		{"payload of 256 KiB", `{"kind":"x","payload":"` + strings.Repeat("p", 256<<10-2) + `"}`, nil},
		{"time with an offset", `{"kind":"x","run_at":"2030-01-01T02:00:00.123456789+02:00"}`, nil},
		{"kind of 128", `{"kind":"` + strings.Repeat("k", 128) + `"}`, nil},
		{"class name", `{"kind":"App\\Jobs\\Mail"}`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := *r
			r.t = t
			fresh := r.post("/v1/tasks", test.body, test.headers...).want(202).task()
			r.get(fresh.Links.Self).want(200)
		})
	}
	r.post("/v1/tasks/batch", `[{"kind":"x","payload":`+strings.Repeat("[", 64)+strings.Repeat("]", 64)+`}]`).want(202)
	r.get("/v1/tasks?state=&queue=&kind=&cursor=&limit=").want(200)
}

// TestBodyOfExactlyTheLimit is on the right side of it.
func TestBodyOfExactlyTheLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	body := `{"kind":"x"}`
	r.post("/v1/tasks", body+strings.Repeat(" ", maxBody-len(body))).want(202)
	r.post("/v1/tasks", body+strings.Repeat(" ", maxBody-len(body)+1)).problem(CodePayloadTooLarge)
}

// TestChunkedBody has no length that says so beforehand.
func TestChunkedBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat(" ", 64<<10))
	a := r.raw("POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, 17))
	a.problem(CodePayloadTooLarge)
}

// TestBelowTheAPI has the answers that docs/problems.md says net/http gives by itself, without an X-Request-Id.
func TestBelowTheAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	for request, status := range map[string]int{
		"nonsense\r\n\r\n":                                                              400,
		"GET /v1/tasks HTTP/1.1\r\n\r\n":                                                400,
		"GET /v1/tasks/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n":                         400,
		"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nExpect: cake\r\n\r\n":            417,
		"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n": 501,
		"GET /v1/tasks HTTP/3.0\r\nHost: localhost\r\n\r\n":                             505,
	} {
		if a := r.raw(request); a.status != status || a.header.Get("X-Request-Id") != "" {
			t.Errorf("%q was answered with %d, want %d", request, a.status, status)
		}
	}
}
