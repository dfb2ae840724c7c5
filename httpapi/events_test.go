package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/scheduler"
)

// feed is an event stream as a client reads it.
type feed struct {
	t      *testing.T
	answer *http.Response
	lines  *bufio.Reader
}

// event is one of a stream. A comment has no name.
type event struct{ name, id, data, retry string }

// listen opens a stream; headers come as name, value.
func (r *rig) listen(path string, headers ...string) *feed {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Minute)
	r.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, "GET", r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := r.web.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { answer.Body.Close() })
	return &feed{r.t, answer, bufio.NewReader(answer.Body)}
}

// next reads an event, and passes by comments and retry.
func (s *feed) next() event {
	s.t.Helper()
	e, err := s.read()
	if err != nil {
		s.t.Fatalf("the stream broke: %v", err)
	}
	return e
}

func (s *feed) read() (e event, err error) {
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "retry":
			e.retry = value
		case "":
			if e.name != "" {
				return e, nil
			}
		}
	}
}

// until reads events until one has the name.
func (s *feed) until(name string) (list []event) {
	s.t.Helper()
	for {
		e := s.next()
		list = append(list, e)
		if e.name == name {
			return list
		}
	}
}

func names(list []event) (names []string) {
	for _, e := range list {
		names = append(names, e.name)
	}
	return names
}

func taskOf(t *testing.T, e event) (task Task) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), &task); err != nil || e.name != "task" {
		t.Fatalf("%v in %+v", err, e)
	}
	return task
}

// A stream begins with the task as it is and ends when it is done; whoever comes back gets what came since, then 204.
func TestEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task, workerID := r.runningTask("k")
	id := scheduler.TaskID{}
	if err := id.UnmarshalText([]byte(task.ID)); err != nil {
		t.Fatal(err)
	}
	lease := scheduler.Lease{Task: id, Queue: scheduler.Queue(task.Queue), Worker: workerID, Attempt: 1}
	s := r.listen("/v1/tasks/" + task.ID + "/events")
	if got := s.answer.Header.Get("Content-Type"); s.answer.StatusCode != 200 || got != "text/event-stream; charset=utf-8" {
		t.Fatalf("%d %s", s.answer.StatusCode, got)
	}
	first := s.next()
	if got := taskOf(t, first); got.State != "running" || first.id == "" {
		t.Fatalf("first came %+v", first)
	}
	for _, message := range []string{"first", "second"} {
		if e := s.next(); e.name != "log" || !strings.Contains(e.data, `"message":"`+message+`"`) {
			t.Fatalf("then came %+v, want %s", e, message)
		}
	}
	say := func(message string) {
		if err := r.client.Log(t.Context(), []scheduler.Line{{Lease: lease, At: time.Now(), Stream: "stdout", Message: message}}); err != nil {
			t.Fatal(err)
		}
	}
	say("line\none <b>&")
	line := s.next()
	var l EventLine
	if err := json.Unmarshal([]byte(line.data), &l); err != nil || line.name != "log" || l.Message != "line\none <b>&" || l.Task != task.ID || l.Stream != "stdout" {
		t.Fatalf("%v: %+v", err, line)
	}
	r.report(scheduler.Report{Lease: lease, Progress: scheduler.Progress{Current: 1, Total: 4}})
	progress := s.next()
	if got := taskOf(t, progress); *got.Progress.Percent != 25 {
		t.Fatalf("%+v", progress)
	}
	say("two")
	if err := r.client.Complete(t.Context(), lease, []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	rest := s.until("end")
	if got := strings.Join(names(rest), " "); got != "log task end" {
		t.Errorf("at the end came %s", got)
	}
	if _, err := s.lines.ReadByte(); err == nil {
		t.Error("something follows the end")
	}
	back := r.listen("/v1/tasks/"+task.ID+"/events", "Last-Event-ID", line.id)
	if got := strings.Join(names(back.until("end")), " "); got != "task log end" {
		t.Errorf("who comes back gets %s", got)
	}
	last := rest[len(rest)-1].id
	r.get("/v1/tasks/"+task.ID+"/events", "Last-Event-ID", last).want(204)
	r.get("/v1/tasks/" + task.ID + "/events?after=" + last).want(204)
	if got := strings.Join(names(r.listen("/v1/tasks/"+task.ID+"/events?logs=false").until("end")), " "); got != "task end" {
		t.Errorf("without lines: %s", got)
	}
}

// One stream may be about several tasks; it ends when all are done, and one that is deleted is told.
func TestEventsOfSeveral(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	a, b := r.submit(`{"kind":"k"}`), r.submit(`{"kind":"k"}`)
	path := "/v1/events?task=" + a.ID + "&task=" + b.ID
	s := r.listen(path)
	if x, y := taskOf(t, s.next()), taskOf(t, s.next()); x.ID != a.ID || y.ID != b.ID {
		t.Fatalf("first came %s, %s", x.ID, y.ID)
	}
	r.post("/v1/tasks/"+b.ID+"/cancel", "").want(200)
	e := s.next()
	if got := taskOf(t, e); got.ID != b.ID || got.State != "cancelled" || e.id != "1,2" {
		t.Errorf("came %+v", e)
	}
	r.exec(`delete from scheduler.tasks where id = $1`, a.ID)
	if got := strings.Join(names(s.until("end")), " "); got != "gone end" {
		t.Errorf("came %s", got)
	}
	for query, code := range map[string]Code{
		"": CodeValidationFailed, "?task=x": CodeValidationFailed, "?task=" + b.ID + "&task=" + b.ID: CodeValidationFailed, "?task=" + b.ID + "&after=x": CodeValidationFailed,
		"?task=" + b.ID + "&after=1,2": CodeValidationFailed, "?task=" + b.ID + "&x=1": CodeValidationFailed, "?task=" + a.ID: CodeNotFound,
		"?" + strings.Repeat("task="+b.ID+"&", 101): CodeValidationFailed,
	} {
		r.get("/v1/events" + query).problem(code)
	}
}

// What becomes of a task that was done from the first ends no stream about others.
func TestEventsOfOneThatIsDoneAndOneThatIsNot(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	done, other := r.submit(`{"kind":"k"}`), r.submit(`{"kind":"k"}`)
	r.post("/v1/tasks/"+done.ID+"/cancel", "").want(200)
	s := r.listen("/v1/events?task=" + done.ID + "&task=" + other.ID)
	if x, y := taskOf(t, s.next()), taskOf(t, s.next()); x.State != "cancelled" || y.State != "ready" {
		t.Fatalf("first came %s, %s", x.State, y.State)
	}
	id, err := scheduler.ParseTaskID(done.ID)
	if err != nil {
		t.Fatal(err)
	}
	watcher := r.client.Watcher() // which sees what the stream's sees, at the same time
	defer watcher.Close()
	watcher.Add(id, scheduler.WatchFrom{})
	r.exec(`delete from scheduler.tasks where id = $1`, done.ID)
	for err == nil {
		_, _, err = watcher.Next(t.Context())
	}
	if !errors.Is(err, scheduler.ErrNotFound) {
		t.Fatal(err)
	}
	r.post("/v1/tasks/"+other.ID+"/cancel", "").want(200)
	if got := strings.Join(names(s.until("end")), " "); got != "task end" {
		t.Errorf("came %s", got)
	}
}

// Who comes back to several tasks of which one was deleted meanwhile goes on with the others.
func TestEventsOfSeveralAfterADeletion(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	a, b := r.submit(`{"kind":"k"}`), r.submit(`{"kind":"k"}`)
	path := "/v1/events?task=" + a.ID + "&task=" + b.ID
	r.exec(`delete from scheduler.tasks where id = $1`, a.ID)
	r.get(path).problem(CodeNotFound)
	s := r.listen(path, "Last-Event-ID", "1,0")
	if e := s.next(); e.name != "gone" || !strings.Contains(e.data, a.ID) {
		t.Errorf("first came %+v", e)
	}
	if got := taskOf(t, s.next()); got.ID != b.ID {
		t.Errorf("then came %s", got.ID)
	}
	r.post("/v1/tasks/"+b.ID+"/cancel", "").want(200)
	if got := s.until("end"); len(got) != 2 || got[1].id != "1,2" {
		t.Errorf("came %+v", got)
	}
	r.get(path, "Last-Event-ID", "1,2").want(204)
	r.get("/v1/events?task="+freshID()+"&task="+freshID(), "Last-Event-ID", "1,2").problem(CodeNotFound)
}

// A long poll is answered when the task is no more what the client has.
func TestWaitForAChange(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	task := r.submit(`{"kind":"k"}`)
	answered := make(chan answer)
	go func() { answered <- r.get("/v1/tasks/"+task.ID, "Prefer", "wait=30", "If-None-Match", `"1"`) }() // received below
	_, worker := r.runningTask("other")
	_ = worker
	r.exec(`update scheduler.tasks set progress_current = 5, revision = revision + 1 where id = $1`, task.ID)
	if a := <-answered; a.status != 200 || a.task().Progress.Current != 5 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A client that does not read is dropped, and holds nothing up.
func TestEventsDropWhoDoesNotRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{}, func(s *server) { s.takeWait = 5 * time.Second }) // time for who reads, on a slow machine too
	task := r.submit(`{"kind":"k","payload":"` + strings.Repeat("x", 200_000) + `"}`)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /v1/tasks/%s/events HTTP/1.1\r\nHost: localhost\r\n\r\n", task.ID); err != nil {
		t.Fatal(err)
	}
	reader := r.listen("/v1/tasks/" + task.ID + "/events")
	reader.lines = bufio.NewReader(eager(reader.answer.Body)) // whatever keeps the test
	reader.next()
	for n, began := 2, time.Now(); !strings.Contains(r.log.String(), `route="GET /v1/tasks/{id}/events"`); n++ { // logged when it ends
		r.exec(`update scheduler.tasks set revision = $2 where id = $1`, task.ID, n)
		if got := taskOf(t, reader.next()); got.Revision != int64(n) {
			t.Fatalf("revision %d came after %d", got.Revision, n-1)
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatal("it is not dropped")
		}
	}
}

// eager reads on by itself, and keeps what nobody has asked for yet.
func eager(body io.Reader) io.Reader {
	kept := make(chan []byte, 1<<16)
	go func() { // ends with the body
		defer close(kept)
		for {
			piece := make([]byte, 64<<10)
			n, err := body.Read(piece)
			if kept <- piece[:n]; err != nil {
				return
			}
		}
	}()
	return &pieces{from: kept}
}

type pieces struct {
	from <-chan []byte
	rest []byte
}

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		piece, ok := <-p.from
		if !ok {
			return 0, io.EOF
		}
		p.rest = piece
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
