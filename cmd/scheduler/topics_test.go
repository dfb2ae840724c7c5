package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// hear reads messages of a topic's stream until one makes it stop, or the stream breaks. It returns the last id.
func hear(t *testing.T, server, after string, message func(data string) (enough bool)) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), proc.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", server+"/v1/topics/news.%23/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer secret")
	request.Header.Set("Last-Event-ID", after)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	id := after
	for lines := bufio.NewReader(response.Body); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			return after // what has no end is not heard
		}
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			after = id
			if message(value) {
				return after
			}
		}
	}
}

// Who follows at a server that is killed goes on at another, and misses nothing of what is published meanwhile.
func TestFollowerOfAKilledServerGoesOnAtAnother(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	c := sqlDoor(t, url)
	c.env = append(c.env, "SCHEDULER_TOKEN=secret")
	victim := c.start("serve", "--listen", "127.0.0.1:0")
	one, two := "http://"+victim.Says(`msg=serve address=(\S+)`), serve(t, url, "secret")
	const n = 200
	published := make(chan error, 1)
	go func() { // ends after n messages; its error is waited for
		conn := connect(t, url)
		for i := range n {
			if _, err := conn.Exec(context.WithoutCancel(t.Context()), `select scheduler.publish('news.x', to_jsonb($1::int)) from pg_sleep(0.01)`, i); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	next := 0
	expect := func(data string) {
		t.Helper()
		if !strings.Contains(data, fmt.Sprintf(`"payload":%d,`, next)) {
			t.Fatalf("message %d is %s", next, data)
		}
		next++
	}
	last := hear(t, one, "0", func(data string) bool {
		expect(data)
		if next == n/4 {
			victim.Signal(os.Kill)
		}
		return false
	})
	t.Logf("%d messages came from the first", next)
	hear(t, two, last, func(data string) bool { expect(data); return next == n })
	if next != n {
		t.Errorf("%d messages were heard, want %d", next, n)
	}
	if err := <-published; err != nil {
		t.Error(err)
	}
}

// The retention comes from the environment, and a bad one is refused.
func TestMessageRetention(t *testing.T) {
	t.Parallel()
	c := sqlDoor(t, pgtest.DB(t))
	c.env = append(c.env, "SCHEDULER_MESSAGE_RETENTION=soon")
	if r := c.run("serve", "--listen", "127.0.0.1:0"); r.code != exitUsage || !strings.Contains(r.stderr, "SCHEDULER_MESSAGE_RETENTION") {
		t.Errorf("%+v", r)
	}
}
