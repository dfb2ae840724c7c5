package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// lineOf is a line of the answer to lines: one or the other.
type lineOf struct {
	Submitted
	Error *Problem
	Ended bool
	raw   []byte
}

// is returns what kind of line it is: fresh, replayed, existing, or the code of a problem, with a mark when it ended.
func (l lineOf) is() string {
	switch {
	case l.Error != nil && l.Ended:
		return string(l.Error.Code) + "!"
	case l.Error != nil:
		return string(l.Error.Code)
	case l.Replayed:
		return "replayed"
	case l.Existing:
		return "existing"
	}
	return "fresh"
}

// lines posts lines and returns those of the answer.
func (r *rig) lines(body string) (list []lineOf) {
	r.t.Helper()
	a := r.post(pathBatch, body, "Content-Type", mediaNDJSON).want(202)
	if got := a.header.Get("Content-Type"); got != mediaNDJSON {
		r.t.Errorf("lines were answered with %s", got)
	}
	for raw := range bytes.Lines(a.body) {
		var line lineOf
		if err := json.Unmarshal(raw, &line); err != nil {
			r.t.Fatalf("%v in %q", err, raw)
		}
		if line.Error != nil && line.Error.RequestID != a.header.Get("X-Request-Id") {
			r.t.Errorf("a problem without the id of its request: %s", raw)
		}
		line.raw = raw
		list = append(list, line)
	}
	return list
}

func kinds(list []lineOf) string {
	var texts []string
	for _, line := range list {
		texts = append(texts, line.is())
	}
	return strings.Join(texts, " ")
}

// TestLines has what a line can be, in one chunk with good ones, and what is answered to it.
func TestLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, body, want string }{
		{"one", `{"kind":"x"}`, "fresh"},
		{"ends with a line feed", "{\"kind\":\"x\"}\n", "fresh"},
		{"CRLF, blank lines, spaces", "\r\n{\"kind\":\"x\"}\r\n\n \t {\"kind\":\"y\"} \r\n\r\n", "fresh fresh"},
		{"unicode", `{"kind":"x","payload":"ü € 😀 \ud83d\ude00 \u2028","unique_key":"schlüssel"}`, "fresh"},
		{"not UTF-8", "{\"kind\":\"x\",\"payload\":\"\xff\"}\n{\"kind\":\"y\"}", "malformed_json fresh"},
		{"NUL", `{"kind":"x","payload":"\u0000"}` + "\n" + `{"kind":"y"}`, "malformed_json fresh"},
		{"bad ones between good ones", "{\"kind\":\"x\"}\n{\"kind\":\n{\"kind\":\"y\"}\n[]\n{}\n{\"kind\":\"a b\"}\n{\"kind\":\"z\"}",
			"fresh malformed_json fresh validation_failed validation_failed validation_failed fresh"},
		{"all bad", "x\ny\n", "malformed_json malformed_json"},
		{"two on a line", `{"kind":"x"}{"kind":"y"}`, "malformed_json"},
		{"payload that only the scheduler refuses", `{"kind":"x"}` + "\n" + `{"kind":"y","payload":"` + strings.Repeat("p", 300<<10) + `"}` + "\n" + `{"kind":"z"}`,
			"fresh validation_failed fresh"},
		{"line beyond the limit", `{"kind":"x"}` + "\n" + `{"kind":"y","payload":"` + strings.Repeat("p", 3<<20) + `"}` + "\n" + `{"kind":"z"}`,
			"fresh payload_too_large fresh"},
		{"line of the limit", `{"kind":"x"}` + strings.Repeat(" ", maxBody-30) + "\r\n" + `{"kind":"y"` + strings.Repeat(" ", maxBody-12) + "}\n", "fresh fresh"},
		{"same key and request", strings.Repeat(`{"kind":"x","idempotency_key":"k"}`+"\n", 3), "fresh replayed replayed"},
		{"key of another request", `{"kind":"a"}` + "\n" + `{"kind":"x","idempotency_key":"k"}` + "\n" + `{"kind":"y","idempotency_key":"k"}` + "\n" +
			`{"kind":"x","idempotency_key":"k"}` + "\n" + `{"kind":"b"}`, "fresh fresh idempotency_key_reused replayed fresh"},
		{"unique key", `{"kind":"x","unique_key":"u"}` + "\n" + `{"kind":"y","unique_key":"u"}`, "fresh existing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Config{})
			list := r.lines(test.body)
			if got := kinds(list); got != test.want {
				t.Errorf("answered %s, want %s", got, test.want)
			}
			if n := r.count("tasks"); n != strings.Count(test.want, "fresh") {
				t.Errorf("%d tasks are stored", n)
			}
		})
	}
}

// TestLinesPointIntoThemselves: the fault of a line is told as that of a single submit.
func TestLinesPointIntoThemselves(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	first := r.submit(`{"kind":"x","idempotency_key":"k"}`)
	list := r.lines("{\"kind\":\"x\"}\n{\"kind\":\"x\",\"priority\":\"high\"}\n{\"kind\":\"y\",\"idempotency_key\":\"k\"}")
	if got := kinds(list); got != "fresh validation_failed idempotency_key_reused" {
		t.Fatal(got)
	}
	if p := list[1].Error; p.Errors[0].Pointer != "/priority" || p.Status != 422 {
		t.Errorf("%+v", p)
	}
	if p := list[2].Error; p.TaskID != first.ID {
		t.Errorf("%+v", p)
	}
	validate(t, r.server, "#/components/schemas/Submitted", list[0].raw)
	validate(t, r.server, "#/components/schemas/SubmitFault", list[1].raw)
	validate(t, r.server, "#/components/schemas/SubmitFault", list[2].raw)
}

// TestLinesRefused are requests that are no stream.
func TestLinesRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.post(pathBatch, "\n \r\n", "Content-Type", mediaNDJSON).problem(CodeValidationFailed)
	r.post(pathBatch, "", "Content-Type", mediaNDJSON).problem(CodeValidationFailed)
	r.post(pathBatch, "{}", "Content-Type", mediaNDJSON, "Idempotency-Key", "k").problem(CodeValidationFailed)
	r.post(pathBatch, "{}", "Content-Type", mediaNDJSON+"; charset=latin1").problem(CodeUnsupportedMediaType)
	r.post(pathBatch, "{}", "Content-Type", mediaNDJSON, "Content-Encoding", "gzip").problem(CodeUnsupportedMediaType)
	r.post(pathBatch+"?a=b", "{}", "Content-Type", mediaNDJSON).problem(CodeValidationFailed)
	if n := r.count("tasks"); n != 0 {
		t.Errorf("%d tasks are stored", n)
	}
}

// talk is a stream whose lines are sent one by one.
type talk struct {
	t       *testing.T
	send    *io.PipeWriter
	answers *bufio.Scanner
}

func (r *rig) talk() *talk {
	r.t.Helper()
	k, status := r.begin()
	if status != http.StatusAccepted {
		r.t.Fatalf("status %d", status)
	}
	if got := k.hear(); got != "fresh" {
		r.t.Fatal(got)
	}
	return k
}

// begin sends the first line, and returns with the status of the answer.
func (r *rig) begin() (*talk, int) {
	r.t.Helper()
	body, send := io.Pipe()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+pathBatch, body)
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", mediaNDJSON)
	k := &talk{t: r.t, send: send}
	k.say(`{"kind":"first"}`) // there is no answer before it
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { send.Close(); response.Body.Close() })
	k.answers = bufio.NewScanner(response.Body)
	return k, response.StatusCode
}

func (k *talk) say(line string) {
	go func() { _, _ = io.WriteString(k.send, line+"\n") }() // ends when it is read, or the pipe closed; the answer to it waits
}

func (k *talk) hear() string {
	k.t.Helper()
	if !k.answers.Scan() {
		return fmt.Sprintf("the end: %v", k.answers.Err())
	}
	var line lineOf
	if err := json.Unmarshal(k.answers.Bytes(), &line); err != nil {
		k.t.Fatal(err)
	}
	return line.is()
}

// TestLinesAreAnsweredWhileTheyCome: a client may wait for each answer before it sends the next line.
func TestLinesAreAnsweredWhileTheyCome(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	k := r.talk()
	for i := range 5 {
		k.say(`{"kind":"x"}`)
		if got := k.hear(); got != "fresh" || r.count("tasks") != i+2 {
			t.Fatalf("%s, %d tasks", got, r.count("tasks"))
		}
	}
	k.send.Close()
	if got := k.hear(); got != "the end: <nil>" {
		t.Error(got)
	}
}

// TestLinesOverHTTP10: a client that can't read while it sends is answered as a whole.
func TestLinesOverHTTP10(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	r := newRig(t, Config{}, func(s *server) { s.mostHeld = most })
	ask := func(body string) answer {
		return r.raw(fmt.Sprintf("POST %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", pathBatch, mediaNDJSON, len(body), body))
	}
	a := ask(strings.Repeat("{\"kind\":\"k\"}\n{}\n", 1100)).want(202) // three chunks
	if n := strings.Count(string(a.body), `"id"`); n != 1100 || strings.Count(string(a.body), "\n") != 2200 || a.header.Get("Content-Length") != strconv.Itoa(len(a.body)) {
		t.Errorf("%d tasks, %v", n, a.header)
	}
	ask("\n").problem(CodeValidationFailed)
	a = ask(strings.Repeat("x\n", 5000)).want(202) // each answered by some 400 bytes
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if last := lines[len(lines)-1]; len(lines) >= 5000 || len(a.body) < most || !strings.Contains(last, `"payload_too_large"`) || !strings.HasSuffix(last, `"ended":true}`) {
		t.Errorf("%d lines, %d bytes, the last is %s", len(lines), len(a.body), last)
	}
}

// deadlines counts how often a client is given time.
type deadlines struct {
	*httptest.ResponseRecorder
	given int
}

func (d *deadlines) SetWriteDeadline(time.Time) error {
	d.given++
	return nil
}

// TestALongAnswerIsTakenInParts: a client that goes on taking an answer that was held has the time for each part of it.
func TestALongAnswerIsTakenInParts(t *testing.T) {
	t.Parallel()
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	s := &stream{server: &server{bodyWait: time.Minute}, w: w, lines: &lines{control: http.NewResponseController(w)}, whole: true}
	text := strings.Repeat("x", 3*flushPart+1)
	s.out.WriteString(text)
	if err := s.flush(); err != nil || w.Body.String() != text || w.given != 4 || w.Header().Get("Content-Length") != strconv.Itoa(len(text)) {
		t.Errorf("%v, %d bytes in %d parts, %v", err, w.Body.Len(), w.given, w.Header())
	}
}

// TestStalledLines: who sends nothing for as long as a body may take is told so and dropped; who sends now and then is not.
func TestStalledLines(t *testing.T) {
	t.Parallel()
	for wait := 300 * time.Millisecond; !saysNowAndThen(t, wait); wait *= 2 {
		if wait > time.Minute {
			t.Fatal("it is dropped whatever it says")
		}
	}
}

// saysNowAndThen says something for twice as long as one may be silent, then nothing. It reports whether the machine was quick enough:
// whether it was never silent for so long. The server waits for a line as soon as it has the one before, which is not yet answered then.
func saysNowAndThen(t *testing.T, wait time.Duration) bool {
	t.Helper()
	r := newRig(t, Config{}, func(s *server) { s.bodyWait = wait })
	before := time.Now() // the last line but one was sent
	k, status := r.begin()
	if status == http.StatusRequestTimeout && time.Since(before) >= wait {
		return false
	}
	if got := k.hear(); got != "fresh" || status != http.StatusAccepted {
		t.Fatal(status, got)
	}
	for until, last := time.Now().Add(2*wait), before; time.Now().Before(until); {
		before, last = last, time.Now()
		k.say(`{"kind":"x"}`)
		switch got := k.hear(); {
		case got == "fresh":
		case got == "request_timeout!" && time.Since(before) >= wait:
			return false
		default:
			t.Fatal(got)
		}
	}
	if got := k.hear() + " " + k.hear(); got != "request_timeout! the end: <nil>" {
		t.Error(got)
	}
	return true
}

// TestLinesThatNobodyReads: a client that takes no answers is dropped, and does not hold the server for ever.
func TestLinesThatNobodyReads(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{}, func(s *server) { s.bodyWait = 200 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000000000\r\n\r\n", pathBatch, mediaNDJSON)
	bad := []byte(strings.Repeat("x\n", 1<<15))
	for err == nil { // each line is answered by 400 bytes
		_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
		_, err = conn.Write(bad)
	}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		t.Errorf("it still holds the connection: %v", err)
	}
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// TestLinesCutOff: of a body that breaks off, whole lines are stored and answered; what follows is not taken for one.
func TestLinesCutOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n"+
		"{\"kind\":\"x\"}\n{\"kind\":\"y\"}", pathBatch, mediaNDJSON)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := received(t, response).want(202)
	if got := string(a.body); strings.Count(got, "\n") != 2 || !strings.Contains(got, `"malformed_json"`) || !strings.Contains(got, `"ended":true`) {
		t.Error(got)
	}
	if n := r.count("tasks"); n != 1 {
		t.Errorf("%d tasks are stored, want 1", n)
	}
}

// TestLinesOfAClientThatLeaves end with it.
func TestLinesOfAClientThatLeaves(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	r := newRig(t, Config{}, func(s *server) {
		s.mux.HandleFunc("POST /stream", func(w http.ResponseWriter, r *http.Request) {
			defer close(ended)
			st := &stream{server: s, w: w, r: r, lines: s.readLines(w, r)}
			st.lines.stop(st.run())
		})
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{\"kind\":\"x\"}\n")
	conn.Close()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the stream of a client that is gone goes on")
	}
}

// TestLinesInAnOutage: what was answered stays, the last line says why there are no more; without any answer it is a plain problem.
func TestLinesInAnOutage(t *testing.T) {
	t.Parallel()
	database := pgtest.Server(t, nil)
	r := newRigOn(t, migrated(t, database.URL("scheduler")), Config{})
	k := r.talk()
	if err := database.Halt(); err != nil {
		t.Fatal(err)
	}
	k.say("nonsense\n" + `{"kind":"x"}` + "\n" + `{"kind":"y"}`)
	if got := k.hear() + " " + k.hear() + " " + k.hear(); got != "malformed_json database_unavailable! the end: <nil>" {
		t.Error(got)
	}
	r.post(pathBatch, `{"kind":"x"}`, "Content-Type", mediaNDJSON).problem(CodeDatabaseUnavailable)
	if err := database.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "it is ready after the database", func() bool { return r.get("/readyz").status == 200 })
	if n := r.count("tasks"); n != 1 {
		t.Errorf("%d tasks are stored, want the one that was answered", n)
	}
}

// TestLinesWithALockedKey: a key that somebody holds locked delays its own line only, and fails that alone.
func TestLinesWithALockedKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	other := r.connect()
	defer other.Close(context.WithoutCancel(t.Context()))
	if _, err := other.Exec(t.Context(), "begin; select scheduler.submit(kind => 'x', idempotency_key => 'b')"); err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	for _, key := range []string{"a", "b", "c"} {
		fmt.Fprintf(&body, `{"kind":"x","idempotency_key":"%s"}`+"\n", key)
	}
	if got := kinds(r.lines(body.String())); got != "fresh database_unavailable fresh" {
		t.Error(got)
	}
}

// TestManyLines sends more tasks than memory should hold, in order and with a bad one now and then. It does not run beside
// others: it looks at the heap of the process.
func TestManyLines(t *testing.T) {
	const most = 32 << 20 // bytes by which the heap may grow
	n := 200_000
	if testing.Short() || raceEnabled {
		n = 20_000
	}
	r := newRig(t, Config{})
	body, send := io.Pipe()
	go func() { // ends when all is sent or the body closed, which the request does
		out := bufio.NewWriterSize(send, 32<<10)
		for i := range n {
			kind := "many"
			if i%1777 == 0 {
				kind = "bad kind"
			}
			fmt.Fprintf(out, `{"kind":"%s","queue":"q%d","payload":{"number":%d,"pad":"%s"}}`+"\n", kind, i%7, i, "0123456789012345678901234567890123456789")
		}
		send.CloseWithError(out.Flush())
	}()
	before := heap()
	response, err := http.Post(r.url+pathBatch, mediaNDJSON, body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answers := bufio.NewScanner(response.Body)
	got := 0
	for ; answers.Scan(); got++ {
		var line lineOf
		if err := json.Unmarshal(answers.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if bad := got%1777 == 0; bad != (line.Error != nil) || !bad && line.Queue != fmt.Sprintf("q%d", got%7) {
			t.Fatalf("line %d is answered by %s", got, answers.Bytes())
		}
		if got%10_000 == 0 {
			if now := heap(); now > before+most {
				t.Fatalf("the heap has grown by %d MiB at line %d", (now-before)>>20, got)
			}
		}
	}
	if err := answers.Err(); err != nil || got != n {
		t.Fatalf("%d answers, want %d: %v", got, n, err)
	}
	if stored, want := r.count("tasks"), n-(n+1776)/1777; stored != want {
		t.Errorf("%d tasks are stored, want %d", stored, want)
	}
}

// heap returns the bytes of the heap that are in use.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
