package push_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgscheduler/scheduler/internal/proc"
	"github.com/pgscheduler/scheduler/scheduler"
	"github.com/pgscheduler/scheduler/worker/push"
)

// The receiver in the guide is run by PHP as it stands there: it answers what is signed, and nothing else.
func TestReceiverOfTheGuide(t *testing.T) {
	t.Parallel()
	proc.Need(t, "php")
	guide, err := os.ReadFile("../../docs/guides/push.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, found := strings.Cut(string(guide), "```php\n")
	code, _, ended := strings.Cut(code, "```")
	if !found || !ended {
		t.Fatal("the guide has no PHP")
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "receive.php"), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + proc.FreePort(t)
	server := exec.Command("php", "-S", address, "-t", folder)
	server.Env = append(os.Environ(), "SCHEDULER_SECRET="+secretA)
	proc.Start(t, server)

	r := newRig(t, scheduler.NewEndpoint{}, nil)
	r.await("php", func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	r.push(push.Config{})
	submit := func(secrets ...string) scheduler.Task {
		r.set(scheduler.NewEndpoint{URL: "http://" + address + "/receive.php", Secrets: secrets, BreakerFailures: 1000})
		r.await("the change", func() bool { return r.endpoint().Processes > 0 })
		return r.final(r.submit(scheduler.NewTask{MaxAttempts: 1, Payload: map[string]string{"name": "Žofie 😀"}}))
	}
	r.set(scheduler.NewEndpoint{Name: "shop", URL: "http://" + address + "/receive.php", Secrets: []string{secretB, secretA}})
	task := submit(secretB, secretA)
	var result struct{ Greeting string }
	if err := json.Unmarshal(task.Result, &result); err != nil || result.Greeting != "Hello, Žofie 😀!" {
		t.Errorf("%s: %s %s", task.State, task.Result, text(task.Error))
	}
	r.await("the other secret", func() bool { task = submit(secretB); return task.State == scheduler.Failed }) // the change is heard within a moment
	if text(task.ErrorCode) != "http_401" {
		t.Errorf("%s: %s", text(task.ErrorCode), text(task.Error))
	}
}
