package main

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/pgscheduler/scheduler/internal/pgtest"
	"github.com/pgscheduler/scheduler/internal/proc"
)

// metricsOf asks for the metrics with a token, if any.
func metricsOf(t *testing.T, address, token string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(raw)
}

func TestMetricsOfAServer(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	server := serve(t, url, "secret")
	if status, _ := metricsOf(t, server, ""); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	surveyed := func(address, token string) {
		t.Helper()
		proc.Await(t, "the database is surveyed", func() bool { // which may take too long, on a machine that is very busy
			status, text := metricsOf(t, address, token)
			if status != 200 {
				t.Fatalf("%d: %s", status, text)
			}
			return strings.Contains(text, "\nscheduler_survey_up 1\n")
		})
	}
	surveyed(server, "secret")
	apart := sqlDoor(t, url).start("serve", "--listen", "127.0.0.1:0", "--token", "secret", "--metrics-listen", "127.0.0.1:0")
	its := "http://" + apart.Says(`msg="serve metrics" address=(\S+)`)
	surveyed(its, "")
	if status, _ := metricsOf(t, "http://"+apart.Says(`msg=serve address=(\S+)`), "secret"); status != 404 {
		t.Errorf("at the API's address too: %d", status)
	}
	apart.Signal(syscall.SIGTERM)
	if code := apart.Exit(); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// A worker's metrics can be read while it drains.
func TestMetricsOfAWorker(t *testing.T) {
	t.Parallel()
	url := pgtest.DB(t)
	w := sqlDoor(t, url).start("worker", "--demo", "--metrics-listen", "127.0.0.1:0")
	its := "http://" + w.Says(`msg="serve metrics" address=(\S+)`)
	c := sqlDoor(t, url)
	c.ok("submit", "demo.echo", "--wait")
	proc.Await(t, "the attempt is counted", func() bool { // which is after its outcome was written
		_, text := metricsOf(t, its, "")
		return strings.Contains(text, `scheduler_attempts_total{kind="demo.echo",outcome="completed",queue="default"} 1`)
	})
	id := c.ok("submit", "demo.sleep", `{"seconds": 600}`)
	proc.Await(t, "it runs", func() bool { // which is after it was leased
		_, text := metricsOf(t, its, "")
		return stateOf(t, c, id) == "running" && strings.Contains(text, "\nscheduler_worker_running 1\n")
	})
	w.Signal(syscall.SIGTERM)
	w.Says("msg=\"drain: a second signal")
	if _, text := metricsOf(t, its, ""); !strings.Contains(text, "\nscheduler_worker_running 1\n") {
		t.Error(text)
	}
	again(t, w, syscall.SIGTERM, "abort: second signal")
	taken := strings.TrimPrefix(serve(t, url, ""), "http://")
	if stderr := c.fails(exitFailure, "worker", "--demo", "--metrics-listen", taken); !strings.Contains(stderr, "--metrics-listen") {
		t.Error(stderr)
	}
}
