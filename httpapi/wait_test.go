package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker"
)

type sum struct{ A, B int }

// TestPreferWait submits to a worker that works and gets the result in the same answer.
func TestPreferWait(t *testing.T) {
	t.Parallel()
	client, err := scheduler.Open(t.Context(), scheduler.Config{DatabaseURL: pgtest.DB(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	registry := worker.NewRegistry()
	worker.Handle(registry, "add", func(_ context.Context, task *worker.Task[sum]) (int, error) {
		return task.Args.A + task.Args.B, task.Report(1, 1, "added")
	})
	worker.Handle(registry, "fail", func(context.Context, *worker.Task[sum]) (int, error) {
		return 0, worker.Permanent(fmt.Errorf("no"))
	})
	works, err := worker.New(client, registry, worker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- works.Run(ctx) }() // ends with ctx; received below
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	handler, err := httpapi.New(client, httpapi.Config{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)

	for body, want := range map[string]string{`{"kind":"add","payload":{"a":40,"b":2}}`: "completed 42", `{"kind":"fail"}`: "failed null"} {
		response, task := send(t, "POST", web.URL+"/v1/tasks", body)
		if got := task.State + " " + string(task.Result); response.StatusCode != 200 || got != want || !task.Done {
			t.Errorf("%s: %d %s, want 200 %s", body, response.StatusCode, got, want)
		}
		if response.Header.Get("Preference-Applied") != "wait=30" || response.Header.Get("Retry-After") != "" {
			t.Errorf("%s: headers %v", body, response.Header)
		}
	}
	_, fresh := send(t, "POST", web.URL+"/v1/tasks", `{"kind":"add","payload":{"a":1,"b":1},"delay_ms":100}`)
	if _, again := send(t, "GET", web.URL+fresh.Links.Self, ""); again.State != "completed" || string(again.Result) != "2" || again.Attempt != 1 {
		t.Errorf("%+v", again)
	}
}

// send makes a request that prefers to wait.
func send(t *testing.T, method, url, body string) (*http.Response, httpapi.Task) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Prefer", "wait=30")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var task httpapi.Task
	if err := json.NewDecoder(response.Body).Decode(&task); err != nil {
		t.Fatal(err)
	}
	return response, task
}

func ExampleCheckListen() {
	if err := httpapi.CheckListen("0.0.0.0:8080", ""); err != nil {
		fmt.Println(err)
	}
	// Output:
	// refusing to listen on 0.0.0.0:8080 without a token
	// whoever reaches that address could submit, read and cancel tasks
	// set a token (--token, SCHEDULER_TOKEN), or listen on 127.0.0.1
}
