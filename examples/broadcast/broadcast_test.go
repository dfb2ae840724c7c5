//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgscheduler/scheduler/internal/browser"
	"github.com/pgscheduler/scheduler/internal/example"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

func TestMain(m *testing.M) { pgtest.Main(m, browser.Stop) }

// rig is the example: two web servers, each with an API process of its own.
type rig struct {
	*example.Example
	t      *testing.T
	pages  [2]string
	apis   [2]string
	killed []int // processes
}

func open(t *testing.T) *rig {
	t.Helper()
	page, api := proc.FreePort(t), proc.FreePort(t)
	e := example.Run(t, []string{"node"}, "PORT2="+page, "API_PORT2="+api, "MAIL_SECONDS=0.08")
	r := &rig{Example: e, t: t, pages: [2]string{e.Page, "http://127.0.0.1:" + page}, apis: [2]string{e.API, "http://127.0.0.1:" + api}}
	for _, url := range []string{r.pages[0] + "/", r.pages[1] + "/", r.apis[1] + "/readyz"} {
		r.Await(url+" answers", func() bool { return answers(t, url) })
	}
	r.Await("the subscriptions are there", func() bool { return r.Number(`select count(*) from scheduler.subscriptions`) == 2 })
	return r
}

func answers(t *testing.T, url string) bool {
	answer, err := get(t.Context(), url)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func get(ctx context.Context, url string, headers ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return http.DefaultClient.Do(request)
}

// kill ends all processes whose command line holds the word, but not those that keep them alive, once there are so many: those of
// the kill before may not be back yet, and it may take them a while to be gone.
func (r *rig) kill(word string, want int) {
	var victims []int
	r.Await(fmt.Sprintf("%d times %s", want, word), func() bool {
		victims = slices.DeleteFunc(r.Processes(word, "!sh keep"), func(pid int) bool { return slices.Contains(r.killed, pid) })
		return len(victims) >= want
	})
	r.killed = append(r.killed, victims...)
	for _, pid := range victims {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			r.t.Errorf("kill %s: %v", word, err)
		}
	}
}

type published struct {
	ID    string
	Tasks []struct{ Subscription, Queue string }
}

// publish sends a message to a web server until it is taken; the request's id makes one message of all attempts.
func (r *rig) publish(page, topic, requestID string) (p published) {
	body := fmt.Sprintf(`{"topic":%q,"payload":{"request":%q}}`, topic, requestID)
	r.Await("the message is taken", func() bool {
		request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, page+"/publish", strings.NewReader(body))
		if err != nil {
			return false
		}
		request.Header.Set("X-Request-ID", requestID)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return false // its server was killed
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusAccepted && json.NewDecoder(answer.Body).Decode(&p) == nil
	})
	return p
}

var topics = []string{"order.created", "order.paid", "order.created.eu", "user.created"}

// shown is the messages that a tab shows, the oldest first.
func shown(tab *browser.Tab) []string {
	return strings.Fields(browser.Eval[string](tab, `[...document.querySelectorAll('li')].reverse().map((line) => line.dataset.id).join(' ')`))
}

// Two browsers, on two web servers with two API processes, one by server-sent events and one by a WebSocket, see each message of
// several publishers at once, in one order, though the servers that they are connected to are killed meanwhile.
func TestBroadcast(t *testing.T) {
	r := open(t)
	tabs := []*browser.Tab{browser.Open(t, r.pages[0]+"/"), browser.Open(t, r.pages[1]+"/?socket")}
	for _, tab := range tabs {
		tab.Await(`document.querySelector('[role=status]').textContent === 'live'`)
	}
	tabs[0].Click("button") // by hand
	tabs[0].Await(`document.querySelector('output').textContent === 'tasks for: ledger, mailer'`)
	for _, tab := range tabs {
		tab.Await(`document.querySelector('ol').textContent.includes('order.created {"order":7}')`)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	var heard []string
	var resumed atomic.Int64
	var following sync.WaitGroup
	following.Go(func() { // ends by cancel
		last := "0"
		for ctx.Err() == nil {
			last = r.hear(ctx, r.apis[resumed.Add(1)%2], last, func(id string) { mu.Lock(); heard = append(heard, id); mu.Unlock() })
		}
	})

	const each = 40
	var publishing sync.WaitGroup
	var done atomic.Int64
	for i, page := range r.pages {
		publishing.Go(func() {
			for n := range each {
				topic := topics[n%len(topics)]
				p := r.publish(page, topic, fmt.Sprintf("page %d message %d", i, n))
				if want := []int{2, 2, 1, 0}[n%len(topics)]; len(p.Tasks) != want {
					t.Errorf("%s made tasks %+v, want %d", topic, p.Tasks, want)
				}
				done.Add(1)
			}
		})
	}
	undone := make([][]int64, 3)
	for i := range undone {
		publishing.Go(func() { undone[i] = r.publishBySQL(each, &done) })
	}
	for i, victims := range []struct {
		word  string
		count int
	}{{"node server.js", 2}, {"scheduler serve", 1}, {"node server.js", 2}} {
		r.Await("more is published", func() bool { return done.Load() >= int64(i+1)*each }) // of 5
		r.kill(victims.word, victims.count)
	}
	publishing.Wait()

	// All have the same in the same order: what was committed, and nothing of what was not.
	last := r.publish(r.pages[0], "order.last", "last").ID
	for _, tab := range tabs {
		tab.Await(`document.querySelector('li')?.dataset.id === '` + last + `'`)
	}
	r.Await("the follower has heard the last", func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(heard, last) })
	cancel()
	following.Wait()
	for i, tab := range tabs {
		if ids := shown(tab); !slices.Equal(ids, heard) {
			t.Errorf("tab %d shows other than the follower heard\n%v\n%v", i, ids, heard)
		}
	}
	rows, err := r.DB.Query(t.Context(), `select id::text from scheduler.messages where topic like 'order.%'`)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	sorted := slices.Clone(heard)
	slices.Sort(stored)
	slices.Sort(sorted)
	if !slices.Equal(stored, sorted) {
		t.Errorf("heard %d messages, %d are stored", len(sorted), len(stored))
	}
	if resumed.Load() < 5 {
		t.Errorf("the follower came back only %d times", resumed.Load())
	}
	t.Logf("%d messages, the follower came back %d times", len(heard), resumed.Load()-1)
	r.tasks(slices.Concat(undone...))
}

// publishBySQL publishes in transactions that stay open for a while, so that they commit in another order than their messages'
// ids have; every fifth is rolled back, and returned.
func (r *rig) publishBySQL(each int, done *atomic.Int64) (undone []int64) {
	db, err := pgx.Connect(r.t.Context(), r.Database)
	if err != nil {
		r.t.Error(err)
		return nil
	}
	defer db.Close(r.t.Context())
	for n := range each {
		var id int64
		tx, err := db.Begin(r.t.Context())
		if err == nil {
			err = tx.QueryRow(r.t.Context(), `select scheduler.publish($1, '{}') from pg_sleep(random() * 0.01)`, topics[n%len(topics)]).Scan(&id)
		}
		if err == nil {
			_, err = tx.Exec(r.t.Context(), `select pg_sleep(random() * 0.05)`)
		}
		switch {
		case err != nil:
			r.t.Error(err)
			return undone
		case n%5 == 4:
			undone, err = append(undone, id), tx.Rollback(r.t.Context())
		default:
			err = tx.Commit(r.t.Context())
		}
		if err != nil {
			r.t.Error(err)
		}
		done.Add(1)
	}
	return undone
}

// hear follows order.# from behind a cursor, hangs up after ten messages, and returns the cursor to come back with.
func (r *rig) hear(ctx context.Context, api, last string, message func(id string)) string {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	answer, err := get(ctx, api+"/v1/topics/order.%23/events", "Last-Event-ID", last)
	if err != nil || answer.StatusCode != http.StatusOK {
		return last // the server was killed
	}
	defer answer.Body.Close()
	cursor, data, n := last, "", 0
	lines := bufio.NewScanner(answer.Body)
	for n < 10 && lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "id":
			cursor = value
		case "data":
			data = value
		case "": // the end of an event: what comes without is none
			last = cursor
			if data == "" {
				continue
			}
			var m struct{ ID string }
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				r.t.Errorf("%s: %v", data, err)
			}
			message(m.ID)
			data, n = "", n+1
		}
	}
	return last
}

// tasks checks that each message has one task for each subscription that matches, that they are all done, the mails one by one, and
// that what was rolled back left nothing.
func (r *rig) tasks(undone []int64) {
	mailing := func() int {
		sending := r.mailing()
		if len(sending) > 1 && slices.Equal(sending, r.mailing()) { // one may have followed the other
			r.t.Errorf("%d mails are sent at once", len(sending))
		}
		return len(sending)
	}
	r.Await("a mail is being sent", func() bool { // however long the rest took
		r.Number(`select scheduler.publish('order.created', '{}')`)
		return mailing() > 0
	})
	left := func() int { return r.Number(`select count(*) from scheduler.tasks where state <> 'completed'`) }
	for before := left(); before > 0; before = left() {
		r.Await("the queues grow shorter", func() bool { mailing(); return left() < before })
	}
	for queue, pattern := range map[string]string{"mail": `order\.[a-z]+`, "ledger": `order\..*`} {
		wrong := r.Number(`select count(*) from scheduler.messages m where (m.topic ~ ('^' || $2 || '$'))::integer <>
			(select count(*) from scheduler.tasks t where t.message_id = m.id and t.queue = $1 and t.topic = m.topic)`, queue, pattern)
		if wrong != 0 {
			r.t.Errorf("%d messages have other than one task in queue %s", wrong, queue)
		}
	}
	if n := r.Number(`select count(*) from scheduler.tasks where message_id = any ($1)`, undone); n != 0 || len(undone) != 24 {
		r.t.Errorf("%d transactions that were rolled back left %d tasks", len(undone), n)
	}
	if n := r.Number(`select count(*) from scheduler.messages m where m.id = any ($1)`, undone); n != 0 {
		r.t.Errorf("and %d messages", n)
	}
}

// mailing is the processes that send a mail: the first of a group each, since the shell forks.
func (r *rig) mailing() []int {
	sending := slices.DeleteFunc(r.Processes("sh mail.sh"), func(pid int) bool {
		group, err := syscall.Getpgid(pid)
		return err != nil || group != pid
	})
	slices.Sort(sending)
	return sending
}

// What the web server does not let through.
func TestDoors(t *testing.T) {
	r := open(t)
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
	}{
		{"GET", "/live/user.%23", "", nil, 404},
		{"GET", "/live/%23", "", nil, 404},
		{"GET", "/live/order.%ff", "", nil, 400},
		{"GET", "/live/order..x", "", nil, 422},
		{"GET", "/live", "", []string{"Connection: Upgrade", "Upgrade: websocket", "Origin: http://evil.example"}, 403},
		{"GET", "/live", "", []string{"Connection: Upgrade", "Upgrade: websocket"}, 403},
		{"POST", "/publish", `{"topic":"order.created"}`, []string{"Origin: http://evil.example"}, 403},
		{"POST", "/publish", `{"topic":"order..created"}`, nil, 422},
		{"POST", "/publish", `{"topic":`, nil, 400},
		{"POST", "/publish", `null`, nil, 400},
		{"POST", "/publish", `{"topic":"order.created","payload":"` + strings.Repeat("x", 70_000) + `"}`, nil, 413},
		{"POST", "/publish", `{"topic":"user.created"}`, nil, 202},
	} {
		if status, answer := r.Do(c.method, r.Page+c.path, c.body, c.headers...); status != c.status {
			t.Errorf("%s %s %.60s: %d %s, want %d", c.method, c.path, c.body, status, answer, c.status)
		}
	}
	if n := r.Number(`select count(*) from scheduler.messages`); n != 1 {
		t.Errorf("%d messages were published", n)
	}
}
