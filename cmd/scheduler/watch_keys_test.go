package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pgscheduler/scheduler/httpapi"
	"github.com/pgscheduler/scheduler/internal/pgtest"
)

// TestWatchURLs: servers with the same keys show each other's links, without the token; serve says where its keys come from.
func TestWatchURLs(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-the-api"
	url, key := pgtest.DB(t), strings.Repeat("A", 43)
	serve := func(says string, env, args []string) string {
		t.Helper()
		c := sqlDoor(t, url)
		c.env = append(c.env, append(env, "SCHEDULER_TOKEN="+token)...)
		return "http://" + c.start(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...).Says(`msg=serve address=(\S+) watch_keys=`+says)
	}
	derived := serve(`"derived from the token"`, nil, nil)
	given := serve(`given`, []string{"SCHEDULER_WATCH_KEYS=k1:" + key}, nil)
	both := serve(`given`, []string{"SCHEDULER_WATCH_KEYS=nonsense"}, []string{"--watch-keys", "k2:" + key + ",k1:" + key})

	request, err := http.NewRequestWithContext(t.Context(), "POST", given+"/v1/tasks", strings.NewReader(`{"kind":"x","watch":true}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var task httpapi.Task
	if err := json.NewDecoder(answer.Body).Decode(&task); err != nil {
		t.Fatal(err)
	}
	for server, want := range map[string]int{given: 200, both: 200, derived: 404} {
		answer, err := http.Get(server + task.Links.Watch)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%d, want %d", answer.StatusCode, want)
		}
	}
	for _, command := range []string{"serve", "dev"} {
		stderr := sqlDoor(t, url).fails(exitUsage, command, "--watch-keys", "k1:c2VjcmV0")
		if !strings.Contains(stderr, "--watch-keys") || !strings.Contains(stderr, "openssl rand -base64 32") || strings.Contains(stderr, "c2VjcmV0") {
			t.Errorf("%s says\n%s", command, stderr)
		}
	}
}
