package httpapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/pgscheduler/scheduler/scheduler"
)

func TestPublishToSubscriptions(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	made := r.do("PUT", "/v1/subscriptions/mailer", `{"pattern":"order.*","kind":"mail.send","queue":"mail","max_attempts":3}`).want(201)
	if got := made.header.Get("Location"); got != "/v1/subscriptions/mailer" {
		t.Errorf("it is at %s", got)
	}
	r.do("PUT", "/v1/subscriptions/mailer", `{"pattern":"order.*","kind":"mail.send","queue":"mail"}`).want(200)
	r.do("PUT", "/v1/subscriptions/a%2Fb", `{"pattern":"order.#","kind":"log"}`).want(201)
	if list := read[Page[Subscription]](r.get("/v1/subscriptions?limit=1").want(200)); len(list.Items) != 1 || list.Items[0].Name != "a/b" || list.NextCursor == nil ||
		len(read[Page[Subscription]](r.get("/v1/subscriptions?limit=1&cursor="+*list.NextCursor).want(200)).Items) != 1 {
		t.Errorf("a page is %+v", list)
	}
	if list := read[Page[Subscription]](r.get("/v1/subscriptions?topic=order.a.b").want(200)); len(list.Items) != 1 || list.Items[0].Pattern != "order.#" {
		t.Errorf("order.a.b goes to %+v", list)
	}
	answer := r.post("/v1/topics/order.created/publish", `{"payload":{"id":7}}`, "Idempotency-Key", "k").want(202)
	p := read[Published](answer)
	if len(p.Tasks) != 2 || p.Tasks[0].Subscription != "a/b" || p.Tasks[1].Queue != "mail" || answer.header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("published %s", answer.body)
	}
	task := r.get("/v1/tasks/" + p.Tasks[1].ID).want(200).task()
	if *task.Topic != "order.created" || *task.MessageID != p.ID || string(task.Payload) != `{"id":7}` || task.Kind != "mail.send" {
		t.Errorf("its task is %+v", task)
	}
	again := r.post("/v1/topics/order.created/publish", `{"payload":{"id":7}}`, "Idempotency-Key", "k").want(202)
	if string(again.body) == "" || read[Published](again).Tasks[0] != p.Tasks[0] || read[Published](again).ID != p.ID || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %s", again.body)
	}
	if p := r.post("/v1/topics/order.created/publish", `{"payload":{"id":8}}`, "Idempotency-Key", "k").problem(CodeKeyReused); p.MessageID == "" || p.TaskID != "" {
		t.Errorf("another request: %+v", p)
	}
	if p := read[Published](r.post("/v1/topics/nobody/publish", "").want(202)); len(p.Tasks) != 0 {
		t.Errorf("to nobody: %+v", p)
	}
	r.do("DELETE", "/v1/subscriptions/mailer", "").want(204)
	r.do("DELETE", "/v1/subscriptions/mailer", "").problem(CodeNotFound)
	r.get("/v1/subscriptions/mailer").problem(CodeNotFound)
	if n := r.count("tasks"); n != 2 {
		t.Errorf("%d tasks", n)
	}
}

// idOnly reads what comes first on a stream of a topic: where it can be resumed.
func (s *feed) idOnly() string {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatal(err)
		}
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "id: "); ok {
			return id
		}
	}
}

func (s *feed) message() (m Message) {
	s.t.Helper()
	e := s.next()
	if err := json.Unmarshal([]byte(e.data), &m); err != nil || e.name != "message" || e.id == "" {
		s.t.Fatalf("%v in %+v", err, e)
	}
	return m
}

func TestTopicEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	s := r.listen("/v1/topics/order.%23/events")
	if got := s.answer.Header.Get("Content-Type"); s.answer.StatusCode != 200 || got != "text/event-stream; charset=utf-8" {
		t.Fatalf("%d %s", s.answer.StatusCode, got)
	}
	begin := s.idOnly()
	for i, topic := range []string{"order", "user.x", "order.a.b"} {
		r.post("/v1/topics/"+topic+"/publish", fmt.Sprintf(`{"payload":{"n":%d,"text":"ü\n😀"}}`, i)).want(202)
	}
	if m := s.message(); m.Topic != "order" || string(m.Payload) != `{"n":0,"text":"ü\n😀"}` || m.ID == "" || m.PublishedAt.IsZero() {
		t.Errorf("first came %+v", m)
	}
	last := s.next()
	if !strings.Contains(last.data, "order.a.b") {
		t.Errorf("then came %+v", last)
	}
	r.post("/v1/topics/order.late/publish", "").want(202)
	if m := r.listen("/v1/topics/order.*/events", "Last-Event-ID", last.id).message(); m.Topic != "order.late" || string(m.Payload) != "{}" {
		t.Errorf("who comes back gets %+v", m)
	}
	for _, after := range []string{begin, "0"} {
		s := r.listen("/v1/topics/%23/events?after=" + after)
		var got []string
		for range 4 {
			got = append(got, s.message().Topic)
		}
		if !slices.Equal(got, []string{"order", "user.x", "order.a.b", "order.late"}) {
			t.Errorf("after %s came %v", after, got)
		}
	}
	r.do("HEAD", "/v1/topics/a/events", "").want(200)
}

// Who was away for longer than messages are kept is told, and then gets what there is.
func TestTopicEventsExpire(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	r.post("/v1/topics/a/publish", "").want(202)
	s := r.listen("/v1/topics/%23/events?after=999999.1")
	e := s.next()
	var p Problem
	if err := json.Unmarshal([]byte(e.data), &p); err != nil || e.name != "cursor_expired" || p.Code != CodeCursorExpired || p.Status != 410 || e.id == "" {
		t.Errorf("first came %+v", e)
	}
	if m := s.message(); m.Topic != "a" {
		t.Errorf("then came %+v", m)
	}
}

func TestTopicsOnASocket(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{})
	conn, ctx := r.dial(nil)
	say := func(request string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(request)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func() (m SocketMessage) {
		t.Helper()
		if err := wsjson.Read(ctx, conn, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	say(`{"op":"subscribe","id":1,"topic":"order.#"}`)
	begun := hear()
	if begun.Op != "cursor" || string(begun.ID) != "1" || begun.Cursor == "" {
		t.Fatalf("first came %+v", begun)
	}
	r.post("/v1/topics/user/publish", "").want(202)
	r.post("/v1/topics/order.x/publish", `{"payload":1}`).want(202)
	if m := hear(); m.Op != "event" || m.Event != "message" || !strings.Contains(string(m.Data), `"topic":"order.x","payload":1`) || m.Cursor == "" {
		t.Errorf("came %+v %s", m, m.Data)
	}
	for request, pointer := range map[string]string{
		`{"op":"subscribe","id":1,"topic":"a"}`:                                  "/id",
		`{"op":"subscribe","id":2,"topic":"a..b"}`:                               "/topic",
		`{"op":"subscribe","id":2,"topic":"a","after":"x"}`:                      "/after",
		`{"op":"subscribe","id":2,"topic":"a","logs":true}`:                      "/topic",
		`{"op":"subscribe","id":2,"topic":"a","task":"` + freshID() + `"}`:       "/topic",
		`{"op":"subscribe","id":[],"topic":"a"}`:                                 "/id",
		`{"op":"subscribe","id":2,"topic":"` + strings.Repeat("a", 256) + `"}`:   "/topic",
		`{"op":"subscribe","id":2,"topic":"a","after":"99999999999999999999.1"}`: "/after",
	} {
		say(request)
		if m := hear(); m.Op != "error" || m.Problem == nil || m.Problem.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", request, m.Problem)
		}
	}
	say(`{"op":"unsubscribe","id":1}`)
	say(`{"op":"subscribe","id":1,"topic":"#","after":"` + begun.Cursor + `"}`)
	for _, topic := range []string{"", "user", "order.x"} {
		if m := hear(); topic == "" && m.Op != "cursor" || !strings.Contains(string(m.Data), topic) {
			t.Errorf("came %+v %s", m, m.Data)
		}
	}
	say(`{"op":"subscribe","id":2,"topic":"#","after":"77777777.1"}`)
	hear()
	if m := hear(); m.Event != "cursor_expired" || !strings.Contains(string(m.Data), `"code":"cursor_expired"`) {
		t.Errorf("came %+v", m)
	}
	for i := range mostTopics - 2 {
		say(fmt.Sprintf(`{"op":"subscribe","id":"n%d","topic":"a"}`, i))
	}
	say(`{"op":"subscribe","id":"last","topic":"a"}`)
	for {
		if m := hear(); m.Op == "error" {
			if m.Problem.Errors[0].Pointer != "/topic" {
				t.Errorf("one too many: %+v", m.Problem)
			}
			break
		}
	}
}

// One broadcast reaches all who are connected, by streams and sockets, to two servers; in one order.
func TestBroadcastReachesBothServers(t *testing.T) {
	t.Parallel()
	a := newRig(t, Config{})
	b := newRigOn(t, a.db, Config{})
	type connected struct {
		name string
		next func() string
	}
	var all []connected
	for i, r := range []*rig{a, b} {
		for j := range 2 {
			s := r.listen("/v1/topics/news.*/events")
			s.idOnly()
			all = append(all, connected{fmt.Sprint("stream ", i, j), func() string { return s.message().ID }})
			conn, ctx := r.dial(nil)
			if err := conn.Write(ctx, websocket.MessageText, []byte(`{"op":"subscribe","id":1,"topic":"#"}`)); err != nil {
				t.Fatal(err)
			}
			var begun SocketMessage
			if err := wsjson.Read(ctx, conn, &begun); err != nil || begun.Op != "cursor" {
				t.Fatalf("first came %+v, %v", begun, err)
			}
			all = append(all, connected{fmt.Sprint("socket ", i, j), func() string {
				for {
					var m SocketMessage
					if err := wsjson.Read(ctx, conn, &m); err != nil {
						t.Error(err)
						return ""
					}
					if m.Op == "event" {
						var message Message
						if err := json.Unmarshal(m.Data, &message); err != nil {
							t.Error(err)
						}
						return message.ID
					}
				}
			}})
			all[len(all)-1].name = fmt.Sprint("socket ", i, j)
		}
	}
	const n = 60
	var publishers sync.WaitGroup
	for p := range 4 {
		publishers.Go(func() {
			client := []*scheduler.Client{a.client, b.client}[p%2]
			for i := range n / 4 {
				if _, err := client.Publish(t.Context(), scheduler.NewMessage{Topic: fmt.Sprint("news.", p, "-", i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var first []string
	for _, c := range all {
		var got []string
		for range n {
			got = append(got, c.next())
		}
		if first == nil {
			first = got
		}
		if !slices.Equal(got, first) {
			t.Errorf("%s got %v, the first %v", c.name, got, first)
		}
	}
	publishers.Wait()
	if distinct := slices.Compact(slices.Sorted(slices.Values(first))); len(distinct) != n {
		t.Errorf("%d of %d messages", len(distinct), n)
	}
}
